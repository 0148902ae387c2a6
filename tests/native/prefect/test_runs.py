"""How single runs are read from the server's answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from core.errors import UsageError
from prefect_impl.lab import runs
from prefect_impl.lab.client import Json, Prefect

LONG_AGO = "2024-01-01T00:00:00Z"


def flow_run(kind: str = "COMPLETED", **values: Any) -> Json:
    return {
        "id": "run", "flow_id": "flow", "parameters": {"month": "2024-01"}, "state_type": kind,
        "state": {"name": kind.title(), "message": "words"}, "created": LONG_AGO, "start_time": LONG_AGO,
        "end_time": LONG_AGO, "parent_task_run_id": None, "auto_scheduled": False, "created_by": None,
    } | values  # fmt: skip


def server(**answers: list[Json]) -> Prefect:
    """A client of a server that answers each filter with these objects."""

    def answer(request: httpx.Request) -> httpx.Response:
        kind = request.url.path.split("/")[2]
        return httpx.Response(200, json=answers[kind] if request.method == "POST" else answers[kind][0])

    return Prefect("http://127.0.0.1:1", httpx.MockTransport(answer), 0)


def one(run: Json, **answers: list[Json]) -> runs.RunRecord:
    (record,) = runs.records(server(flows=[{"id": "flow", "name": "taxi_pipeline"}], **answers), [run])
    return record


@pytest.mark.parametrize(
    ("state", "name", "said"),
    [
        ("SCHEDULED", "Late", "queued"),
        ("PENDING", "Pending", "queued"),
        ("CANCELLING", "Cancelling", "running"),
        ("COMPLETED", "Completed", "success"),
        ("COMPLETED", "Skipped", "skipped"),
        ("CRASHED", "Crashed", "failed"),
        ("CANCELLED", "Cancelled", "canceled"),
    ],
)
def test_the_state_of_a_run(state: str, name: str, said: str) -> None:
    record = one(flow_run(state, state={"name": name, "message": "words"}))
    assert (record.state, record.error) == (said, "words" if said == "failed" else None)
    assert (record.pipeline, record.partition) == ("taxi_pipeline", "2024-01")
    assert record.url == "http://127.0.0.1:1/runs/flow-run/run"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "manual"),
        ({"auto_scheduled": True}, "scheduled"),
        ({"created_by": {"type": "AUTOMATION"}}, "event"),
        ({"created_by": {"type": "DEPLOYMENT"}}, "manual"),
    ],
)
def test_the_cause_of_a_run(values: Json, said: str) -> None:
    assert one(flow_run(**values)).cause == said


@pytest.mark.parametrize(("parent", "said"), [("backfill", "backfill"), ("nightly", "parent run")])
def test_the_cause_of_a_run_that_another_one_started(parent: str, said: str) -> None:
    prefect = server(
        flows=[{"id": "flow", "name": "taxi_pipeline"}, {"id": "above", "name": parent}],
        task_runs=[{"id": "call", "flow_run_id": "parent"}],
        flow_runs=[{"id": "parent", "flow_id": "above"}],
    )
    (record,) = runs.records(prefect, [flow_run(parent_task_run_id="call")])
    assert record.cause == said


def test_the_process_of_a_run_is_what_its_worker_wrote_down(tmp_path: Path) -> None:
    running = [{"id": "a", "infrastructure_pid": "host:7"}, {"id": "b", "infrastructure_pid": None}]
    at = {"home": str(tmp_path), "ports": {}}
    wanted = runs.ProcessesRequest(endpoint=at, services={"server": 1, "engine": 2, "worker": 3})
    found = runs.processes(server(flow_runs=running), wanted)
    assert [(each.role, each.pid, each.run_id) for each in found] == [
        ("API", 1, None), ("worker", 2, None), ("worker", 3, None), ("run", 7, "a"),
    ]  # fmt: skip


def test_a_run_was_launched_when_it_was_first_pending() -> None:
    def states(*kinds: str) -> Prefect:
        found = [{"type": kind, "timestamp": f"2024-01-01T00:00:0{at}Z"} for at, kind in enumerate(kinds)]
        return server(flow_run_states=[found])  # type: ignore[list-item]

    assert runs.launched_at(states("SCHEDULED", "PENDING", "RUNNING", "PENDING"), "run") == "2024-01-01T00:00:01Z"
    assert runs.launched_at(states("SCHEDULED", "CANCELLED"), "run") is None


@pytest.mark.parametrize(
    ("state", "asked"), [("SCHEDULED", ["CANCELLED"]), ("RUNNING", ["CANCELLING"]), ("FAILED", [])]
)
def test_only_what_has_not_ended_is_canceled(state: str, asked: list[str]) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            seen.append(json.loads(request.content)["state"]["type"])
        return httpx.Response(200, json={"state": {"type": state}})

    runs.cancel(Prefect("http://127.0.0.1:1", httpx.MockTransport(answer), 0), "taxi_pipeline", "run")
    assert seen == asked


def test_more_runs_than_the_server_returns_at_once() -> None:
    every = [flow_run(id=str(number)) for number in range(250)]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.split("/")[2] == "flows":
            return httpx.Response(200, json=[{"id": "flow", "name": "taxi_pipeline"}])
        asked = json.loads(request.content)
        # As the server does.
        if asked["limit"] > 200:
            return httpx.Response(422, json={"detail": "Invalid limit: must be less than or equal to 200."})
        first = asked.get("offset", 0)
        return httpx.Response(200, json=every[first : first + asked["limit"]])

    prefect = Prefect("http://127.0.0.1:1", httpx.MockTransport(answer), 0)
    for limit in (200, 230, 300):
        assert [run.run_id for run in runs.newest(prefect, None, limit)] == [run["id"] for run in every[:limit]]


@pytest.mark.parametrize("code", [404, 422], ids=["gone", "no id"])
def test_a_run_that_is_gone_is_a_clear_line(code: int) -> None:
    prefect = Prefect("http://127.0.0.1:1", httpx.MockTransport(lambda _: httpx.Response(code)), 0)
    with pytest.raises(UsageError, match="prefect has no run 'x': `triptych runs --on prefect` lists them"):
        runs.observed(prefect, "taxi_pipeline", "x")
