"""The baseline: the steps of a month in a plain Python loop, behind the same runner protocol as the orchestrators.

    python -m core.lab.plain VERB REQUEST.json RESULT.json

It stores nothing: the records that an orchestrator would store are kept in memory until the result is written.
"""

from __future__ import annotations

import datetime as dt
import platform
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import tenacity

from core.errors import RETRIES, RETRY_DELAY_S, TransientError, TriptychError
from core.lab.protocol import (
    BackfillRequest,
    BackfillResult,
    Description,
    MonthRecord,
    Progress,
    Services,
    TaskRecord,
    TaskState,
    month_record,
    serve,
)
from core.month import Month
from core.run import TASKS

if TYPE_CHECKING:
    from core.run import Receipt, Run

LACKS = {
    "services": "Each backfill is one process, with nothing to keep running.",
    "web": "It has no services, so no web page.",
    "detached_backfills": "The command's own process does the work.",
    "survives_worker_kill": "The process that is killed is the one that would start the month again.",
}
"""The capabilities that a loop in one process does not have, and why."""


@dataclass
class History:
    """What happened to one month. `report` is called with the attempt of each step under way, by name."""

    report: Callable[[dict[str, int]], None]
    tasks: list[TaskRecord] = field(default_factory=list)
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: str | None = None
    _attempts: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def run(self, task: str, step: Callable[[], Receipt]) -> None:
        """Run one step, repeat it after a transient error, and record how it went. Raise nothing: see `error`."""
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            stop=tenacity.stop_after_attempt(1 + RETRIES),
            wait=tenacity.wait_fixed(RETRY_DELAY_S),
            before=lambda state: self._mark(task, state.attempt_number),
            reraise=True,
        )
        started, rows, state = now(), None, "failed"
        try:
            receipt = attempts(step)
            rows, state = receipt.rows, "unchanged" if receipt.state == "unchanged" else "success"
            self.receipts[task] = receipt.to_json()
        # Whatever it is, it must not hold back the other months.
        except Exception as error:
            traceback.print_exc()
            line = " ".join(str(error).split())
            self.error = self.error or (line if isinstance(error, TriptychError) else f"{type(error).__name__}: {line}")
        self._mark(task, 0)
        count = attempts.statistics["attempt_number"]
        self.tasks.append(TaskRecord(task, state, count, started, now(), rows))  # type: ignore[arg-type]

    def _mark(self, task: str, attempt: int) -> None:
        """Note that a step is at `attempt`, or at its end (0), and report all that are under way."""
        with self._lock:
            self._attempts[task] = attempt
            self.report({name: self._attempts[name] for name in TASKS if self._attempts.get(name)})

    def skip(self, task: str) -> None:
        """Record that a step was not run, because one before it failed."""
        skipped: TaskState = "skipped"
        self.tasks.append(TaskRecord(task, skipped, 0))


def now() -> str:
    """Return the time as the runner protocol writes it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def run_month(month: Month, run: Run, progress: Progress) -> MonthRecord:
    """Run the steps of one month: zones beside the month's file, then transform, then check."""
    # Not at the top: `describe` need not wait for pyarrow.
    from core import pipeline

    history = History(lambda under_way: progress(str(month), "running", under_way=under_way))
    with ThreadPoolExecutor(2) as pool:
        pool.submit(history.run, "ingest_zones", lambda: pipeline.ingest_zones(run))
        pool.submit(history.run, "ingest_month", lambda: pipeline.ingest_month(run, month))
    for task, step in (("transform", pipeline.transform), ("check", pipeline.check)):
        if history.error:
            history.skip(task)
        else:
            history.run(task, lambda step=step: step(run, month))  # type: ignore[misc]
    record = month_record(str(month), history.tasks, history.receipts, history.error)
    progress(str(month), record.state, record=record)
    return record


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
    run = Run.of(request.parameters, "plain", f"plain-{now()}")
    months = [Month.parse(month) for month in request.months]
    for month in months:
        progress(str(month), "waiting")
    with ThreadPoolExecutor(request.jobs) as pool:
        records = list(pool.map(lambda month: run_month(month, run, progress), months))
    return BackfillResult.of(platform.python_version(), started, records)


if __name__ == "__main__":
    sys.exit(serve({"describe": describe, "services": services, "ready": ready, "backfill": backfill}))
