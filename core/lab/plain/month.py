"""One run of the baseline: the steps of a month, and what happens to each."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import tenacity

from core.errors import RETRIES, RETRY_DELAY_S, TransientError, TriptychError
from core.lab.plain.store import now
from core.lab.protocol import TAXI_PIPELINE, MonthRecord, RunRecord, TaskRecord, TaskState, month_record
from core.month import Month

if TYPE_CHECKING:
    from core.run import Receipt, Run

T = TypeVar("T")


@dataclass
class Recorder:
    """Keeps what happens to one run, and calls `save` with its record at each change."""

    record: RunRecord
    save: Callable[[RunRecord], None]
    receipts: dict[str, dict[str, Any]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, task: str, step: Callable[[], Receipt]) -> None:
        """Run one step, repeat it after a transient error, and record how it went.

        Raise nothing: an error is the record's, and must not hold back other months.
        """
        started, state, count = now(), "failed", 0

        def begin(call: tenacity.RetryCallState) -> None:
            nonlocal count
            count = call.attempt_number
            self.set_task(TaskRecord(task, "running", count, started))

        receipt = self.ask(step, begin)
        if receipt:
            state = "unchanged" if receipt.state == "unchanged" else "success"
            self.receipts[task] = receipt.to_json()
        rows = receipt and receipt.rows
        self.set_task(TaskRecord(task, state, count, started, now(), rows, self.receipts.get(task)))  # type: ignore[arg-type]

    def ask(self, call: Callable[[], T], begin: Callable[[tenacity.RetryCallState], None] = lambda _: None) -> T | None:
        """Return what `call` returns, repeated after a transient error; record any other error, and return None."""
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            stop=tenacity.stop_after_attempt(1 + RETRIES),
            wait=tenacity.wait_fixed(RETRY_DELAY_S),
            before=begin,
            reraise=True,
        )
        try:
            return attempts(call)
        except Exception as error:
            traceback.print_exc()
            line = " ".join(str(error).split())
            self.fail(line if isinstance(error, TriptychError) else f"{type(error).__name__}: {line}")
            return None

    def leave_out(self, task: str, state: TaskState) -> None:
        """Record that a step did not run: there was no need to, or one before it failed."""
        self.set_task(TaskRecord(task, state, 0))

    def fail(self, error: str) -> None:
        """Record why the run fails: the first error stays."""
        with self._lock:
            self._replace(error=self.record.error or error)

    def set_task(self, task: TaskRecord) -> None:
        """Record the state of a step."""
        with self._lock:
            others = [each for each in self.record.tasks if each.task != task.task]
            self._replace(tasks=sorted([*others, task], key=lambda each: TAXI_PIPELINE.order(each.task)))

    def update(self, **facts: Any) -> None:
        """Record other facts of the run."""
        with self._lock:
            self._replace(**facts)

    def _replace(self, **facts: Any) -> None:
        self.record = replace(self.record, **facts)
        self.save(self.record)


def run_month(month: Month, run: Run, recorder: Recorder) -> MonthRecord:
    """Run the steps of one month: zones beside the month's file, then, if anything is pending, transform and check."""
    # Not at the top: `describe` need not wait for pyarrow.
    from core import pipeline

    recorder.update(state="running", started_at=now())
    with ThreadPoolExecutor(2) as pool:
        pool.submit(recorder.run, "ingest_zones", lambda: pipeline.ingest_zones(run))
        pool.submit(recorder.run, "ingest_month", lambda: pipeline.ingest_month(run, month))
    pending = () if recorder.record.error else recorder.ask(lambda: pipeline.pending(run, month))
    for task, needed, step in (
        ("transform", pending, lambda: pipeline.transform(run, month)),
        ("check", pending, lambda: pipeline.check(run, month)),
        ("report", True, lambda: pipeline.report(run, month, built=bool(pending))),
    ):
        if recorder.record.error:
            recorder.leave_out(task, "upstream failed")
        elif needed:
            recorder.run(task, step)
        else:
            recorder.leave_out(task, "skipped")
    record = month_record(str(month), recorder.record.tasks, recorder.receipts, recorder.record.error)
    state = "failed" if record.state == "failed" else "success"
    recorder.update(state=state, tasks=record.tasks, error=record.error, ended_at=now())
    return record
