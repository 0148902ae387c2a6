"""The baseline's runner.

python -m core.lab.plain.runner VERB REQUEST.json RESULT.json
"""

from __future__ import annotations

import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from core.lab.plain import runs
from core.lab.plain.month import Recorder, run_month
from core.lab.plain.store import Store, new_id, now
from core.lab.protocol import (
    TAXI_PIPELINE,
    BackfillRequest,
    BackfillResult,
    Description,
    MonthRecord,
    Progress,
    RunRecord,
    Services,
    serve,
)
from core.month import Month

LACKS = {
    "services": "Each backfill is one process, with nothing to keep running.",
    "web": "It has no services, so no web page.",
    "detached_backfills": "The command's own process does the work.",
    "one_run": "Its backfill is one process already, which records each month as a run.",
    "survives_worker_kill": "The process that is killed is the one that would start the month again.",
}
"""The capabilities that a loop in one process does not have, and why."""


def describe(_: dict[str, Any], __: Progress) -> Description:
    """Return what the baseline is."""
    return Description("plain", "Plain Python", platform.python_version(), ["concurrent_backfills"], lacks=LACKS)


def services(_: dict[str, Any], __: Progress) -> Services:
    """Return no services: the baseline needs none."""
    return Services({}, [])


def ready(_: dict[str, Any], __: Progress) -> dict[str, Any]:
    """Return at once."""
    return {}


def backfill(data: dict[str, Any], progress: Progress) -> BackfillResult:
    """Run `jobs` months at a time, on threads: a step waits for PostgreSQL or for dbt's process, or runs C and Rust."""
    from core.run import Run

    started = time.monotonic()
    request = BackfillRequest.from_json(data)
    store = Store(request.endpoint["home"])
    store.tidy()

    def one(month: Month) -> MonthRecord:
        progress(str(month), "running")
        run_id = new_id(str(month))
        at = now()
        queued = RunRecord(
            "plain", TAXI_PIPELINE.name, run_id, "queued", "backfill", str(month), created_at=at, launched_at=at
        )

        def save(run: RunRecord) -> None:
            store.save(run)
            if not run.has_ended:
                progress(str(month), "running", under_way=run.under_way)

        record = run_month(month, Run.of(request.parameters, "plain", run_id), Recorder(queued, save))
        progress(str(month), record.state, record=record)
        return record

    months = [Month.parse(month) for month in request.months]
    for month in months:
        progress(str(month), "waiting")
    with ThreadPoolExecutor(request.jobs) as pool:
        records = list(pool.map(one, months))
    return BackfillResult.of(platform.python_version(), started, records)


if __name__ == "__main__":
    sys.exit(
        serve(
            {
                "describe": describe,
                "services": services,
                "ready": ready,
                "backfill": backfill,
                "start": runs.start,
                "observe": runs.observe,
                "look_up": runs.look_up,
                "runs": runs.runs,
                "cancel": runs.cancel,
                "delete": runs.delete,
                "processes": runs.processes_of_runs,
            }
        )
    )
