"""One backfill, from its creation to the record of its last month."""

from __future__ import annotations

import math

from core.lab.protocol import (
    TAXI_PIPELINE,
    BackfillRequest,
    MonthRecord,
    Progress,
    canceled_with_us,
    month_of_run,
    month_record,
)
from core.waiting import until
from prefect_impl.lab import history, tasks
from prefect_impl.lab import runs as single
from prefect_impl.lab.client import FINAL, Json, Prefect

POLL_S = 0.5
"""How often the state of a backfill is read, with three calls: the server is one process, which the months need too."""

Records = dict[str, MonthRecord]
"""What Prefect recorded of the months that have ended."""


def run(prefect: Prefect, wanted: BackfillRequest, progress: Progress) -> list[MonthRecord]:
    """Run the parent flow and return the records of the months that it ran; cancel it when this ends before it does.

    It is the deployment `backfill`, or of another pipeline than ours the deployment ``<pipeline>_backfill``.
    """
    parameters = {
        "months": wanted.months,
        "parameters": wanted.parameters,
        "which": wanted.which,
        "concurrency": wanted.jobs,
    }
    is_ours = wanted.pipeline == TAXI_PIPELINE.name
    run_id = prefect.start("backfill" if is_ours else f"{wanted.pipeline}_backfill", parameters)
    with canceled_with_us(lambda: prefect.cancel(run_id)):
        records = follow(prefect, run_id, wanted, progress)
    return [records[month] for month in wanted.months if month in records]


def follow(prefect: Prefect, run_id: str, wanted: BackfillRequest, progress: Progress) -> Records:
    """Report progress until the backfill and the record of each of its runs are complete; return the records."""
    records: Records = {}

    def look() -> Json | None:
        # The parent is read before its months: once it has ended, it creates no more of them.
        parent = prefect.state(run_id)
        ended = parent["type"] in FINAL
        months = prefect.months_of(run_id)
        for month, runs in months.items():
            if month not in records and is_over(runs[-1], ended) and (record := record_of(prefect, runs, wanted)):
                records[month] = record
        last = {month: runs[-1] for month, runs in months.items() if month not in records}
        attempts = history.attempts(prefect, [run for run in last.values() if run["state_type"] == "RUNNING"])
        for month in wanted.months:
            state = state_of(months.get(month, []), records.get(month))
            under_way = attempts.get(last[month]["id"], {}) if month in last else {}
            progress(month, state, record=records.get(month), under_way=under_way)
        return parent if ended and months.keys() <= records.keys() else None

    parent = until(look, math.inf, POLL_S, f"Prefect's backfill {run_id}")
    if wanted.which != "all" and parent["type"] == "COMPLETED":
        return records
    not_run = f"not run: the backfill ended {parent['name']}: {parent['message']}"
    return {month: records.get(month) or month_record(month, [], {}, not_run) for month in wanted.months}


def record_of(prefect: Prefect, runs: list[Json], wanted: BackfillRequest) -> MonthRecord | None:
    """Return what Prefect recorded of a month's runs, oldest first; None while more of the last one may arrive."""
    if wanted.pipeline == TAXI_PIPELINE.name:
        return history.record(prefect, runs)
    run = single.observed(prefect, wanted.pipeline, runs[-1]["id"])
    return month_of_run(run, tasks.pipelines()[wanted.pipeline]) if run.has_ended else None


def is_over(last: Json, ended: bool) -> bool:
    """Return whether `last` is a month's last run: while the backfill runs, one that crashed is followed by another."""
    return last["state_type"] in FINAL and (ended or last["state_type"] != "CRASHED")


def state_of(runs: list[Json], record: MonthRecord | None) -> str:
    """Return a month's state, as progress reports it."""
    if record:
        return record.state
    return "waiting" if not runs or runs[-1]["state_type"] in ("SCHEDULED", "PENDING") else "running"
