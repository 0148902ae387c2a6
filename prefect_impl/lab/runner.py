"""Prefect's side of the runner contract. A backfill is a run of `backfill/triptych`; its children are months."""

from __future__ import annotations

import math
import sys
import time
from importlib.metadata import version

from core.lab.protocol import (
    BackfillRequest,
    BackfillResult,
    Description,
    Endpoint,
    MonthRecord,
    Progress,
    Services,
    canceled_with_us,
    month_record,
    serve,
)
from core.waiting import until
from prefect_impl.lab import history
from prefect_impl.lab.client import FINAL, Json, Prefect
from prefect_impl.lab.services import base_url, services

CAPABILITIES = ["services", "web", "concurrent_backfills", "detached_backfills", "survives_worker_kill"]

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
    """Run the deployment `backfill` for all months asked for, and wait for its end."""
    started, request = time.monotonic(), BackfillRequest.from_json(data)
    with Prefect(base_url(Endpoint.from_json(request.endpoint))) as prefect:
        parameters = {"months": request.months, "parameters": request.parameters, "which": "all", "jobs": request.jobs}
        run_id = prefect.start_backfill(parameters)
        with canceled_with_us(lambda: prefect.cancel(run_id)):
            records = wait(prefect, run_id, request, progress)
    return BackfillResult.of(version("prefect"), started, [records[month] for month in request.months])


def wait(prefect: Prefect, run_id: str, request: BackfillRequest, progress: Progress) -> dict[str, MonthRecord]:
    """Follow a backfill to its end; give the record of each month."""
    records: dict[str, MonthRecord] = {}

    def over() -> Json | None:
        parent = prefect.state(run_id)  # read before its months: when it is over, it makes no more of them
        ended = parent["type"] in FINAL
        months = prefect.months_of(run_id)
        for month, runs in months.items():
            last = runs[-1]["state_type"]
            # while the backfill runs, a run that crashed is followed by another
            is_last = last in FINAL and (ended or last != "CRASHED")
            if month not in records and is_last and (record := history.record(prefect, runs)):
                records[month] = record
        for month in request.months:
            waits = month not in months or months[month][-1]["state_type"] in ("SCHEDULED", "PENDING")
            state = records[month].state if month in records else "waiting" if waits else "running"
            progress(month, state, record=records.get(month))
        return parent if ended and months.keys() <= records.keys() else None

    parent = until(over, math.inf, POLL_S, f"Prefect's backfill {run_id}")
    for month in request.months:
        if month not in records:
            reason = f"not run: the backfill ended {parent['name']}: {parent['message']}"
            records[month] = month_record(month, [], {}, reason)
    return records


VERBS = {"describe": describe, "services": start, "ready": ready, "backfill": backfill}

if __name__ == "__main__":
    sys.exit(serve(VERBS))
