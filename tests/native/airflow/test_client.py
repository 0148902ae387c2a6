"""What the client makes of the API server's responses."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunPatchBody

from core.errors import PermanentError, TransientError
from core.lab.protocol import MonthRecord
from tests.native.airflow.api import client_of, dag_run


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
    parts = {part: {"status": "healthy"} for part in ("metadatabase", "scheduler", "dag_processor")}
    broken = {"import_errors": [{"stack_trace": "Traceback\n  x\nImportError: no module named core\n"}]}
    with pytest.raises(PermanentError, match="can't import the DAG: ImportError: no module named core"):
        client_of(lambda r: httpx.Response(200, json=parts if "health" in r.url.path else broken)).ready()


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

    client, one = client_of(respond), dag_run("2024-01")
    client.note(one, MonthRecord("2024-01", "success"))
    assert sent == []
    client.note(one, MonthRecord("2024-01", "success", warnings=["odd", "w" * 2000]))
    client.note(one, MonthRecord("2024-01", "failed", error="the site does not answer"))
    (method, path, body), (_, _, failed) = sent
    assert failed == {"note": "the site does not answer"}
    assert (method, path) == ("PATCH", "/api/v2/dags/taxi_pipeline/dagRuns/backfill__2024-01")
    assert body["note"].startswith("warning: odd\n\nwarning: www")
    assert DAGRunPatchBody.model_validate(body).note == body["note"], "longer than the API takes"
