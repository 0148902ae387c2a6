"""Prefect's side of the runner contract. A backfill is a run of `backfill/triptych`; its children are months."""

from __future__ import annotations

import math
import sys
import time
from importlib.metadata import version

from core.contract import (
    BackfillRequest,
    BackfillResult,
    Description,
    Endpoint,
    MonthRecord,
    Progress,
    Services,
    canceled_with_us,
    reported,
    serve,
    until,
)
from core.errors import TriptychError
from prefect_impl import history
from prefect_impl.client import FINAL, Json, Prefect
from prefect_impl.services import base_url, services

CAPABILITIES = ["services", "web", "concurrent_backfills", "per_month_retry", "survives_worker_kill"]
"""Not ``native_backfill``: a range is our own parent flow. Not ``native_partitions``: a month is a parameter."""

READY_S = 120
"""For the worker's first heartbeat, which it sends before it asks for work."""

POLL_S = 1.0
"""How often a backfill is looked at: as often as the worker looks for work."""


def describe(_: Json, __: Progress) -> Description:
    """Who this is."""
    return Description("prefect", "Prefect", version("prefect"), CAPABILITIES, ports=["api"])


def start(data: Json, _: Progress) -> Services:
    """How to bring the services up."""
    return services(Endpoint.from_json(data))


def ready(data: Json, _: Progress) -> Json:
    """Return when a worker is online and the deployments take runs."""
    with Prefect(base_url(Endpoint.from_json(data))) as prefect:
        until(lambda: prefect.ready() or None, READY_S, POLL_S, "Prefect's worker and deployments")
    return {}


def backfill(data: Json, progress: Progress) -> BackfillResult:
    """Run the deployment `backfill` for all months asked for, and wait for its end.

    When that fails on the way, months whose end was seen are reported as they ended, and the others as failed.
    """
    started, request = time.monotonic(), BackfillRequest.from_json(data)
    records: dict[str, MonthRecord] = {}
    with Prefect(base_url(Endpoint.from_json(request.endpoint))) as prefect:
        parameters = {"months": request.months, "job": request.job, "which": "all", "jobs": request.jobs}
        run_id = prefect.start_backfill(parameters)
        try:
            with canceled_with_us(lambda: prefect.cancel(run_id)):
                parent = follow(prefect, run_id, request, progress, records)
            cause = f"not run: the backfill ended {parent['name']}: {parent['message']}"
        except TriptychError as error:
            cause = str(error)
    return BackfillResult.of(version("prefect"), started, reported(request.months, records, cause))


def follow(
    prefect: Prefect, run_id: str, request: BackfillRequest, progress: Progress, records: dict[str, MonthRecord]
) -> Json:
    """Wait for the end of a backfill and return its last state; add to `records` each month as soon as it is over."""

    def over() -> Json | None:
        parent = prefect.state(run_id)  # read before its months: when it is over, it makes no more of them
        ended = parent["type"] in FINAL
        months = prefect.months_of(run_id)
        for month, runs in months.items():
            state = runs[-1]["state_type"]
            # while the backfill runs, a run that crashed is followed by another
            is_last = state in FINAL and (ended or state != "CRASHED")
            if month not in records and is_last and (record := history.record(prefect, runs)):
                records[month] = record
        for month in request.months:
            waits = month not in months or months[month][-1]["state_type"] in ("SCHEDULED", "PENDING")
            state = records[month].state if month in records else "waiting" if waits else "running"
            progress(month, state, record=records.get(month))
        return parent if ended and months.keys() <= records.keys() else None

    return until(over, math.inf, POLL_S, f"Prefect's backfill {run_id}")


VERBS = {"describe": describe, "services": start, "ready": ready, "backfill": backfill}

if __name__ == "__main__":
    sys.exit(serve(VERBS))
