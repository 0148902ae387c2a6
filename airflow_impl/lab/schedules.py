"""Schedules, as a person turns them on, pauses them, and lets them run for past dates."""

from __future__ import annotations

import math
from urllib.parse import quote

from airflow_impl.lab.client import Airflow, Json
from core.lab.protocol import ScheduleRequest, TicksRequest
from core.waiting import until

POLL_S = 0.5


def switch(airflow: Airflow, wanted: ScheduleRequest) -> None:
    """Pause or unpause a DAG. While it is paused, runs that are started by hand wait as well."""
    airflow.call("PATCH", f"/dags/{quote(wanted.pipeline)}", json={"is_paused": not wanted.active})


def catch_up(airflow: Airflow, wanted: TicksRequest) -> list[str]:
    """Start a backfill of the dates that have no run, and return the ids of its runs; none when all have one.

    Airflow means other dates than its schedule does: logical dates, or those of partitions. It queues the runs of a
    paused DAG until somebody unpauses it.
    """
    body = {
        "dag_id": wanted.pipeline,
        "from_date": wanted.since,
        "to_date": wanted.until,
        "reprocess_behavior": "none",
    }
    if not airflow.call("POST", "/backfills/dry_run", json=body).json()["backfills"]:
        return []
    known = {run["dag_run_id"] for run in backfilled(airflow, wanted.pipeline)}
    until(lambda: airflow.create_backfill(body), math.inf, POLL_S, f"another backfill of {wanted.pipeline}")
    new = [run["dag_run_id"] for run in backfilled(airflow, wanted.pipeline) if run["dag_run_id"] not in known]
    return new[::-1]


def backfilled(airflow: Airflow, dag: str) -> list[Json]:
    """Return the DAG's newest runs that come from a backfill, newest first."""
    query = {"run_type": "backfill", "order_by": "-id", "limit": 100}
    return list(airflow.get(f"/dags/{quote(dag)}/dagRuns", **query)["dag_runs"])
