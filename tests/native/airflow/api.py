"""An API server that is a function, and what it says of runs and tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from airflow_impl.lab.client import DAG, Airflow
from core.run import TASKS

Json = dict[str, Any]
Server = Callable[[httpx.Request], httpx.Response]


def client_of(server: Server, patience_s: float = 0) -> Airflow:
    """Return a client of an API server that is a function."""
    return Airflow("http://127.0.0.1:1", httpx.MockTransport(server), patience_s)


def dag_run(month: str, **values: Any) -> Json:
    """Return a DAG run as the API describes it."""
    return {
        "dag_id": DAG, "dag_run_id": f"backfill__{month}", "partition_key": month, "state": "success", "conf": {"a": 1},
    } | values  # fmt: skip


def instance_of(name: str) -> Json:
    """Return what tells a task instance from the others: of a mapped task, its `name` is as in ``task[3]``."""
    task, _, index = name.rstrip("]").partition("[")
    return {"task_id": task, "map_index": int(index or -1)}


def server_of_one_run(states: dict[str, str], log: list[Json]) -> Server:
    """Return an API server that knows the tasks of one run, and the log of each."""

    def respond(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        task = next((task for task in (*TASKS, "pending") if f"/{task}/" in path), "")
        if path.endswith("/taskInstances"):
            one = {"try_number": 1, "start_date": "2026-01-01T00:00:00Z", "end_date": "2026-01-01T00:00:01Z"}
            instances = [one | instance_of(task) | {"state": state} for task, state in states.items()]
            return httpx.Response(200, json={"task_instances": instances, "total_entries": len(instances)})
        if path.endswith("/~/xcomEntries"):
            entries = [instance_of(task) for task, state in states.items() if state == "success"]
            return httpx.Response(200, json={"xcom_entries": entries, "total_entries": len(entries)})
        if "/xcomEntries/" in path:
            state = "unchanged" if task == "ingest_month" else "success"
            return httpx.Response(200, json={"value": {"task": task, "state": state, "rows": 5}})
        return httpx.Response(200, json={"content": log})

    return respond
