"""A range of months as one run: the second mode of a backfill, the same for every orchestrator that has it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from core.errors import UsageError
from core.lab.protocol.pipelines import TAXI_PIPELINE, Parameter, Pipeline
from core.lab.protocol.records import MonthRecord, RunRecord, TaskRecord, month_record
from core.lab.protocol.requests import BackfillRequest, StartRequest
from core.lab.protocol.serving import Progress, canceled_with_us
from core.lab.protocol.single import Client_contra, SingleRuns

TAXI_RANGE = Pipeline(
    name="taxi_range",
    tasks=["ingest_zones", "ingest_month", "transform", "check"],
    main="ingest_month",
    month="none",
    parameters={"months": Parameter("The months, as in 2024-01..2024-03"), **TAXI_PIPELINE.parameters},
)
"""The steps of the taxi pipeline, mapped over months. A step of one month is recorded as ``transform[2024-01]``, or by
the number of the month in the range until it runs, as in ``transform[0]``; one that all months share, without either.
"""

POLL_S = 2.0
"""The pause between two looks at the run: each asks for every step of every month."""


def run_range(
    client: Client_contra, runs: SingleRuns[Client_contra], wanted: BackfillRequest, progress: Progress
) -> list[MonthRecord]:
    """Run the months as one run of `TAXI_RANGE`, report their progress, and return their records.

    Raise `UsageError` when the request is for another pipeline, or not for all of its months.
    """
    if wanted.pipeline != TAXI_PIPELINE.name or wanted.which != "all":
        raise UsageError("only the taxi pipeline has backfills as one run, and they run all the months that they name")
    parameters = {"months": ",".join(wanted.months), **wanted.parameters}
    run_id = runs.start(client, StartRequest(TAXI_RANGE.name, parameters))
    with canceled_with_us(lambda: runs.cancel(client, TAXI_RANGE.name, run_id)):
        while not (run := runs.observed(client, TAXI_RANGE.name, run_id)).has_ended:
            for number, month in enumerate(wanted.months):
                report(progress, month, tasks_of(run, month, number))
            time.sleep(POLL_S)
    records = months_of(run, wanted.months)
    for record in records:
        progress(record.month, record.state, record=record)
    return records


def report(progress: Progress, month: str, tasks: Sequence[TaskRecord]) -> None:
    """Report a month of a run that has not ended."""
    under_way = {task.task: task.attempts for task in tasks if task.state == "running"}
    has_begun = any(task.started_at for task in tasks if task.task == TAXI_RANGE.main)
    progress(month, "running" if has_begun else "waiting", under_way=under_way if has_begun else {})


def tasks_of(run: RunRecord, month: str, number: int) -> list[TaskRecord]:
    """Return the steps of one month, the `number`th of the range, with those that all months share."""
    found = []
    for task in run.tasks:
        name, _, label = task.task.partition("[")
        if name in TAXI_RANGE.tasks and label in ("", f"{month}]", f"{number}]"):
            found.append(replace(task, task=name))
    return found


def months_of(run: RunRecord, months: Sequence[str]) -> list[MonthRecord]:
    """Return the record of each month of a run that has ended."""
    tasks = {month: tasks_of(run, month, number) for number, month in enumerate(months)}
    failed = [month for month in months if any(task.state == "failed" for task in tasks[month])]
    return [month_of(run, month, tasks[month], failed) for month in months]


def month_of(run: RunRecord, month: str, tasks: list[TaskRecord], failed: Sequence[str]) -> MonthRecord:
    """Return the record of one month. The run has one error: whose it is, is certain when one month has failed."""
    receipts = {task.task: task.returned for task in tasks if isinstance(task.returned, dict)}
    error = None
    if month in failed or run.state == "canceled":
        error = run.error if failed == [month] else None
        names = [task.task for task in tasks if task.state in ("failed", "canceled")]
        error = error or f"{', '.join(names) or 'the run'} ended {run.state}: see {run.url}"
    elif not failed and run.error:
        error = run.error
    has_ended = {task.task for task in tasks if task.state in ("success", "unchanged", "skipped")}
    return month_record(month, tasks, receipts, None if has_ended >= {*TAXI_RANGE.tasks} else error, TAXI_RANGE)
