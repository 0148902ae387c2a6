"""What the client makes of the API server's responses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunPatchBody

from airflow_impl.lab import client
from core.errors import PermanentError, TransientError
from core.lab.protocol import MonthRecord
from tests.native.airflow.api import Json, Server, client_of, dag_run

PARTS = ["metadatabase", "scheduler", "dag_processor"]


def services_with(*dags: str, import_errors: Sequence[Json] = ()) -> Server:
    """Return the server of healthy services without a triggerer, which know `dags`."""
    health = {"triggerer": {"status": "unhealthy"}} | {part: {"status": "healthy"} for part in PARTS}

    def respond(request: httpx.Request) -> httpx.Response:
        what = request.url.path.rpartition("/")[2]
        if what in ("health", "importErrors"):
            return httpx.Response(200, json=health if what == "health" else {"import_errors": list(import_errors)})
        return httpx.Response(200 if what in dags else 404, json={})

    return respond


def test_a_server_that_does_not_answer_is_a_transient_error() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(TransientError, match=r"http://127\.0\.0\.1:1/api/v2/ does not answer: refused"):
        client_of(respond).get("/version")


@pytest.mark.parametrize(("status", "error"), [(422, PermanentError), (500, TransientError)])
def test_a_refusal_is_an_error_with_the_servers_words(status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{status} why"):
        client_of(lambda _: httpx.Response(status, text="why")).get("/version")


def test_a_dag_that_cannot_be_imported_is_an_error_with_the_cause() -> None:
    broken = {"filename": "a/b.py", "stack_trace": "Traceback\n  x\nImportError: no module named core\n"}
    server = services_with(import_errors=[broken])
    with pytest.raises(PermanentError, match=r"can't import a/b\.py: ImportError: no module named core"):
        client_of(server).ready(PARTS, [])


@pytest.mark.parametrize(
    ("parts", "dags", "ready"),
    [
        (PARTS, ["taxi_pipeline"], True),
        (PARTS, ["taxi_pipeline", "another"], False),
        ([*PARTS, "triggerer"], ["taxi_pipeline"], False),
    ],
)
def test_services_are_ready_when_all_parts_are_healthy_and_all_dags_are_known(
    parts: list[str], dags: list[str], ready: bool
) -> None:
    assert client_of(services_with("taxi_pipeline")).ready(parts, dags) is ready


def test_a_list_is_read_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)

    def respond(request: httpx.Request) -> httpx.Response:
        offset, limit = (int(request.url.params[name]) for name in ("offset", "limit"))
        return httpx.Response(200, json={"things": list(range(5))[offset:][:limit], "total_entries": 5})

    assert client_of(respond).every("/things", "things") == [0, 1, 2, 3, 4]


def test_a_note_that_a_run_has_already_stays() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    canceled = dag_run("2024-01", note="canceled by hand")
    client_of(refuse).note(canceled, MonthRecord("2024-01", "failed", error="the task was ended"))


def test_warnings_and_the_cause_of_a_failure_become_the_note_of_the_run() -> None:
    sent: list[tuple[str, str, Any]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        sent.append((request.method, request.url.path, json.loads(request.content)))
        return httpx.Response(200, json={})

    server, one = client_of(respond), dag_run("2024-01")
    server.note(one, MonthRecord("2024-01", "success"))
    assert sent == []
    server.note(one, MonthRecord("2024-01", "success", warnings=["odd", "w" * 2000]))
    server.note(one, MonthRecord("2024-01", "failed", error="the site does not answer"))
    (method, path, body), (_, _, failed) = sent
    assert failed == {"note": "the site does not answer"}
    assert (method, path) == ("PATCH", "/api/v2/dags/taxi_pipeline/dagRuns/backfill__2024-01")
    assert body["note"].startswith("warning: odd\n\nwarning: www")
    assert DAGRunPatchBody.model_validate(body).note == body["note"], "longer than the API takes"
