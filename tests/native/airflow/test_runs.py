"""How single runs are read from the API server's answers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from airflow_impl.lab import runs
from core.errors import UsageError
from core.lab.protocol import StartRequest
from tests.native.airflow.api import Json, client_of, server_of_one_run

BEGAN = "2026-01-01T00:00:00Z"


def dag_run(state: str = "success", **values: Any) -> Json:
    return {
        "dag_id": "taxi_pipeline", "dag_run_id": "manual__2026-01-01T00:00:00+00:00", "partition_key": "2024-01",
        "state": state, "run_type": "manual", "note": None, "queued_at": BEGAN, "run_after": BEGAN,
        "start_date": BEGAN, "end_date": BEGAN, "conf": {},
    } | values  # fmt: skip


@pytest.mark.parametrize(
    ("state", "note", "said"),
    [("queued", None, "queued"), ("failed", "odd", "failed"), ("failed", runs.CANCELED, "canceled")],
)
def test_the_state_of_a_run(state: str, note: str | None, said: str) -> None:
    record = runs.record(client_of(server_of_one_run({}, [])), dag_run(state, note=note))
    assert (record.state, record.cause, record.partition, record.created_at) == (said, "manual", "2024-01", BEGAN)
    assert record.url == ("http://127.0.0.1:1/dags/taxi_pipeline/runs/manual__2026-01-01T00%3A00%3A00%2B00%3A00")


def test_the_month_of_a_run_that_was_started_with_the_form() -> None:
    run = dag_run(partition_key=None, conf={"month": "2024-02"})
    assert runs.record(client_of(server_of_one_run({}, [])), run).partition == "2024-02"


@pytest.mark.parametrize(
    ("kind", "said"), [("backfill", "backfill"), ("asset_triggered", "event"), ("operator_triggered", "parent run")]
)
def test_the_cause_of_a_run(kind: str, said: str) -> None:
    assert runs.record(client_of(server_of_one_run({}, [])), dag_run(run_type=kind)).cause == said


def test_a_run_has_its_tasks_in_order_and_what_they_returned() -> None:
    states = {"transform": "running", "ingest_month": "success", "ingest_zones": "success", "check": "scheduled"}
    states["pending"] = "success"
    tasks = server_of_one_run(states, [])

    def respond(request: httpx.Request) -> httpx.Response:
        is_run = "/taskInstances" not in request.url.path
        return httpx.Response(200, json=dag_run("running")) if is_run else tasks(request)

    record = runs.observed(client_of(respond), "taxi_pipeline", "x")
    assert [(task.task, task.state, task.rows) for task in record.tasks] == [
        ("ingest_zones", "success", 5), ("ingest_month", "unchanged", 5), ("transform", "running", None),
        ("check", "queued", None),
    ]  # fmt: skip
    assert record.tasks[1].returned == {"task": "ingest_month", "state": "unchanged", "rows": 5}


def test_a_mapped_task_has_a_record_for_each_instance() -> None:
    tasks = server_of_one_run(dict.fromkeys(["check[10]", "check[9]", "transform"], "success"), [])

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/return_value"):
            return httpx.Response(200, json={"value": int(request.url.params["map_index"])})
        is_run = "/taskInstances" not in request.url.path
        return httpx.Response(200, json=dag_run()) if is_run else tasks(request)

    record = runs.observed(client_of(respond), "taxi_pipeline", "x")
    assert [(task.task, task.returned) for task in record.tasks] == [
        ("transform", -1), ("check[9]", 9), ("check[10]", 10)
    ]  # fmt: skip


def test_a_task_that_returned_nothing_is_recorded_without_a_value() -> None:
    tasks = server_of_one_run({"any": "success"}, [])

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/xcomEntries"):
            return httpx.Response(200, json={"xcom_entries": [], "total_entries": 0})
        is_run = "/taskInstances" not in request.url.path
        return httpx.Response(200, json=dag_run(dag_id="any")) if is_run else tasks(request)

    (task,) = runs.observed(client_of(respond), "any", "x").tasks
    assert (task.state, task.returned, task.rows) == ("success", None, None)


@pytest.mark.parametrize(
    ("state", "asked"), [("running", [{"state": "failed", "note": runs.CANCELED}]), ("failed", [])]
)
def test_only_what_has_not_ended_is_canceled(state: str, asked: list[Json]) -> None:
    seen: list[Json] = []

    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            seen.append(json.loads(request.content))
        return httpx.Response(200, json=dag_run(state))

    runs.cancel(client_of(respond), "taxi_pipeline", "x")
    assert seen == asked


@pytest.mark.parametrize("is_there", [True, False], ids=["of this call", "another one"])
def test_a_start_finds_its_own_run_of_a_date_and_refuses_a_second_one(is_there: bool) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(409)
        return httpx.Response(200 if is_there else 404, json=dag_run())

    wanted = StartRequest("monthly", {}, at="2024-05-01T00:00:00+00:00")
    if is_there:
        assert runs.start(client_of(respond), wanted).startswith("manual__")
    else:
        with pytest.raises(UsageError, match="has a run for 2024-05-01T00:00:00"):
            runs.start(client_of(respond), wanted)


def test_a_pipeline_that_does_not_exist_has_no_runs() -> None:
    assert runs.newest(client_of(lambda _: httpx.Response(404)), "none", 5) == []


def test_a_run_that_is_gone_is_a_clear_line() -> None:
    with pytest.raises(UsageError, match="airflow has no run 'x' of taxi_pipeline: `triptych runs --on airflow` lists"):
        runs.observed(client_of(lambda _: httpx.Response(404)), "taxi_pipeline", "x")
