"""Which months make a backfill, how it is started and followed, also while the API server restarts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_impl.lab import backfill as native
from airflow_impl.lab import runner
from airflow_impl.lab.client import DAG
from core import waiting
from core.errors import TransientError
from core.lab.protocol import BackfillRequest, BackfillResult, Progress
from core.month import Month, parse_months
from core.run import TASKS
from tests.native.airflow.api import Json, client_of, dag_run, server_of_one_run

NOTHING: Json = {"dag_runs": [], "backfills": []}


def request_of(months: str, jobs: int = 2) -> BackfillRequest:
    return BackfillRequest([str(month) for month in parse_months(months)], "folder", "schema", jobs=jobs)


@pytest.mark.parametrize(
    ("months", "first"),
    [
        ("2024-01", "2024-01"),
        ("2023-11..2024-02", "2023-11..2024-02"),
        ("2024-03,2024-02,2024-01", "2024-03,2024-02,2024-01"),
        ("2024-01,2024-03", "2024-01"),
        ("2024-03,2024-01,2024-02", "2024-03"),
        ("2024-01,2024-02,2024-01", "2024-01,2024-02"),
        ("2024-01,2024-02,2024-04", "2024-01,2024-02"),
    ],
)
def test_a_stretch_is_contiguous_and_keeps_the_order(months: str, first: str) -> None:
    assert tuple(native.first_stretch(parse_months(months))) == parse_months(first)


def test_a_range_backwards_is_one_backfill() -> None:
    sent: list[Json] = []

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=NOTHING)
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={"id": 7})

    request = request_of("2024-03,2024-02", jobs=4)
    assert native.start(client_of(respond), parse_months("2024-03,2024-02"), request) == {"id": 7}
    assert (sent[0]["from_date"], sent[0]["to_date"]) == ("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z")
    assert sent[0]["run_backwards"] is True
    assert (sent[0]["max_active_runs"], sent[0]["dag_run_conf"]) == (4, request.parameters)
    assert sent[0]["reprocess_behavior"] == "completed"


def test_a_second_backfill_of_the_dag_waits() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(409) if request.method == "POST" else httpx.Response(200, json=NOTHING)

    assert native.start(client_of(respond), [Month(2024, 1)], request_of("2024-01")) is None


@pytest.mark.parametrize(
    ("states", "is_canceled"),
    [(["success", "success"], True), (["success", "failed"], False), (["success", "queued"], False), ([], False)],
    ids=["succeeded", "one failed", "under way", "just created"],
)
def test_only_a_backfill_without_failed_runs_is_canceled_to_make_room(states: list[str], is_canceled: bool) -> None:
    """A canceled one is paused: a failed run of it that somebody clears would stay queued."""
    canceled: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v2")
        if request.method == "PUT":
            canceled.append(path)
        if path.endswith("/dagRuns"):
            assert request.url.params["updated_at_gte"] == "then"
            return httpx.Response(200, json={"dag_runs": [{"state": state} for state in states]})
        active = [{"id": 3, "created_at": "then"}]
        return httpx.Response(409 if request.method == "POST" else 200, json={"backfills": active})

    assert client_of(respond).create_backfill({"dag_id": "monthly"}) is None
    assert canceled == ["/backfills/3/cancel"] * is_canceled


def test_a_month_that_is_running_waits() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.method == "GET"
        assert request.url.params.get_list("state") == ["queued", "running"]
        return httpx.Response(200, json={"dag_runs": [dag_run("2024-01", state="running")]})

    assert native.start(client_of(respond), [Month(2024, 1)], request_of("2024-01")) is None


def test_the_runs_of_a_backfill_are_the_newest_with_its_conf() -> None:
    runs = [
        dag_run("2024-01", dag_run_id="of another", conf={"a": 2}),
        dag_run("2024-01", dag_run_id="newest"),
        dag_run("2024-01", dag_run_id="older"),
    ]
    client = client_of(lambda _: httpx.Response(200, json={"dag_runs": runs}))
    backfill = {"dag_id": DAG, "created_at": "2026-01-01T00:00:00Z", "dag_run_conf": {"a": 1}}
    ours = native.runs_of(client, backfill, [Month(2024, 1)])
    assert {str(month): one["dag_run_id"] for month, one in ours.items()} == {"2024-01": "newest"}


LOST = httpx.ReadError("the connection was reset")
REFUSED = httpx.ConnectError("refused")


class Api:
    """An API server that makes backfills of `runs`. `faults` take the place of the first responses to a call.

    The server does not receive a call whose connection is refused; it receives every other call.
    """

    def __init__(self, *runs: Json, **faults: list[httpx.Response | httpx.HTTPError]) -> None:
        self.runs, self.faults = runs, faults
        self.backfills: list[Json] = []
        self.calls: list[str] = []
        self.tasks = server_of_one_run(dict.fromkeys(TASKS, "success"), [])
        # Tasks that run, or wait for their next attempt, in every run: not in the order of the steps.
        self.under_way = {"ingest_month": 2, "ingest_zones": 1}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method}_{request.url.path.rpartition('/')[2]}"
        self.calls.append(call)
        fault = self.faults[call].pop(0) if self.faults.get(call) else None
        if fault is REFUSED:
            raise REFUSED
        is_record = "taskInstances" in request.url.path and call != "POST_list"
        response = self.tasks(request) if is_record else self.respond(call, request)
        if isinstance(fault, httpx.HTTPError):
            raise fault
        return fault or response

    def respond(self, call: str, request: httpx.Request) -> httpx.Response:
        if call == "POST_list":
            asked = json.loads(request.content)
            both = ({"task_id": task, "try_number": tries} for task, tries in self.under_way.items())
            found = [one | {"dag_run_id": run} for one in both for run in asked["dag_run_ids"]]
            return httpx.Response(200, json={"task_instances": found})
        if call == "POST_backfills":
            conf = json.loads(request.content)["dag_run_conf"]
            number = len(self.backfills) + 1
            made = {"id": number, "dag_id": DAG, "created_at": "2026-01-01T00:00:00Z", "dag_run_conf": conf}
            self.backfills.insert(0, made)
            return httpx.Response(200, json=made)
        runs = [run | {"conf": self.backfills[0]["dag_run_conf"]} for run in self.runs] if self.backfills else []
        return httpx.Response(200, json={"backfills": self.backfills, "dag_runs": runs})


@pytest.fixture
def backfill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., BackfillResult]:
    """The verb, against an `Api`."""
    monkeypatch.setattr(waiting, "PAUSE_S", 0.0)
    monkeypatch.setattr(native, "POLL_S", 0.0)

    def run(api: Api, months: list[str], patience_s: float = 60) -> BackfillResult:
        monkeypatch.setattr(runner, "Airflow", lambda _: client_of(api, patience_s))
        endpoint: Json = {"home": "home", "ports": {"api": 1}}
        request = BackfillRequest(months, "folder", "schema", endpoint)
        return runner.backfill(request.to_json(), Progress(tmp_path / "progress"))

    return run


@pytest.mark.parametrize(
    "call", ["GET_dagRuns", "GET_backfills", "POST_backfills", "GET_taskInstances", "GET_return_value"]
)
def test_a_restart_during_any_call_is_bridged(call: str, backfill: Callable[..., BackfillResult]) -> None:
    faults: list[httpx.Response | httpx.HTTPError] = [REFUSED, REFUSED, LOST]
    if call != "POST_backfills":
        faults += [httpx.Response(500), httpx.Response(503)]
    api = Api(dag_run("2024-01", start_date="x"), **{call: faults})
    result = backfill(api, ["2024-01"])
    assert (result.status, result.months[0].attempts, result.months[0].rows) == ("success", 1, 5)
    assert api.faults[call] == []
    assert len(api.backfills) == 1, "a backfill whose response was lost was created twice"


def test_a_month_that_ended_before_the_api_died_is_reported_with_its_record(
    backfill: Callable[..., BackfillResult], tmp_path: Path
) -> None:
    api = Api(dag_run("2024-01", start_date="x"), dag_run("2024-02", start_date="x", state="running"))
    alive = api.respond

    def dies(call: str, request: httpx.Request) -> httpx.Response:
        dead = api.calls.count("GET_dagRuns") > 3 and call == "GET_dagRuns"
        return httpx.Response(500, text="down") if dead else alive(call, request)

    api.respond = dies  # type: ignore[method-assign]
    with pytest.raises(TransientError, match="Airflow refused GET /dags/taxi_pipeline/dagRuns: 500 down"):
        backfill(api, ["2024-01", "2024-02"], patience_s=0)
    reported: list[dict[str, Any]] = [json.loads(line) for line in (tmp_path / "progress").read_text().splitlines()]
    assert sorted((one["month"], one["state"], one["record"] is not None) for one in reported) == [
        ("2024-01", "unchanged", True),
        ("2024-02", "running", False),
    ]
    assert api.calls[-1] == "PUT_cancel", "Airflow must not go on alone"


@pytest.mark.parametrize("faults", [[], [REFUSED, LOST, httpx.Response(500)]], ids=["no fault", "restart"])
def test_the_step_under_way_is_asked_of_runs_that_run(
    faults: list[httpx.Response | httpx.HTTPError], backfill: Callable[..., BackfillResult], tmp_path: Path
) -> None:
    api = Api(dag_run("2024-01", start_date="x", state="running"), POST_list=faults)
    alive = api.respond

    def ends(call: str, request: httpx.Request) -> httpx.Response:
        if api.calls.count("GET_dagRuns") > 3:
            api.runs = (dag_run("2024-01", start_date="x"),)
        return alive(call, request)

    api.respond = ends  # type: ignore[method-assign]
    assert backfill(api, ["2024-01"]).status == "success"
    reported: list[dict[str, Any]] = [json.loads(line) for line in (tmp_path / "progress").read_text().splitlines()]
    assert [(one["state"], one["task"], one["attempt"]) for one in reported] == [
        ("running", "ingest_month", 2), ("unchanged", "", 0)
    ]  # fmt: skip
    assert api.calls.index("POST_list") < api.calls.index("GET_taskInstances") < len(api.calls)
    assert "POST_list" not in api.calls[api.calls.index("GET_taskInstances") :], "a run that is over is not asked for"
