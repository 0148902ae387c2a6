"""What an orchestrator recorded of its runs, in one form for all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from core.lab.protocol.message import Message
from core.lab.protocol.pipelines import TAXI_PIPELINE, Pipeline
from core.lab.protocol.requests import Mode
from core.run import counted

MonthState = Literal["success", "unchanged", "failed"]
TaskState = Literal["queued", "running", "success", "unchanged", "failed", "skipped", "upstream failed", "canceled"]
"""``unchanged`` is a success that had nothing to do. ``skipped``: there was no need to run it. ``upstream failed``: it
could not run, because a step before it failed."""

RunState = Literal["queued", "running", "success", "failed", "skipped", "canceled"]
"""docs/architecture.md says which words of each orchestrator each of these stands for."""

Cause = Literal["manual", "scheduled", "backfill", "event", "parent run", "retry"]
"""Why there is a run. A retry is a run that repeats another one, not another attempt within a run."""

Role = Literal["scheduler", "worker", "daemon", "code server", "triggerer", "API", "run"]
"""What a process does. A code server reads the user's code: Airflow's DAG processor is one too. A triggerer waits for
events on behalf of deferred tasks, and is Airflow's alone."""

UNFINISHED = ("queued", "running")


@dataclass(frozen=True)
class TaskRecord(Message):
    """What the orchestrator recorded of one step of a run. Times are ISO 8601 with an offset."""

    task: str
    state: TaskState
    attempts: int
    started_at: str | None = None
    ended_at: str | None = None
    rows: int | None = None
    returned: Any = None
    """What the step returned, as JSON: of our pipeline's steps, the receipt."""
    created_at: str | None = None
    """When the orchestrator decided to run it, where it records that; what follows until the start is assignment."""


@dataclass(frozen=True)
class RunRecord(Message):
    """What the orchestrator recorded of one run, whoever started it. Times are ISO 8601 with an offset.

    `run_id` is the orchestrator's own; a run is found again by its pipeline and its id.
    """

    LISTS: ClassVar = {"tasks": TaskRecord}

    orchestrator: str
    pipeline: str
    run_id: str
    state: RunState
    cause: Cause
    partition: str | None = None
    created_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    tasks: list[TaskRecord] = field(default_factory=list)
    """Empty in the answer to `runs`, where an orchestrator would need a call for each run."""
    error: str | None = None
    """Why it failed, in one line."""
    url: str | None = None
    """The run's own page."""
    launched_at: str | None = None
    """When the orchestrator began to start the run's process: `observe` says it, where that is recorded."""

    @property
    def has_ended(self) -> bool:
        """Whether its state is final."""
        return self.state not in UNFINISHED

    @property
    def under_way(self) -> dict[str, int]:
        """The attempt of each step that runs now."""
        return {each.task: each.attempts for each in self.tasks if each.state == "running"}


@dataclass(frozen=True)
class RunList(Message):
    """The newest runs, newest first."""

    LISTS: ClassVar = {"runs": RunRecord}

    runs: list[RunRecord]


@dataclass(frozen=True)
class ProcessRecord(Message):
    """A living process of an orchestrator; one of role ``run`` executes the run `run_id`."""

    role: Role
    name: str
    pid: int
    run_id: str | None = None


@dataclass(frozen=True)
class ProcessList(Message):
    """An orchestrator's living processes."""

    LISTS: ClassVar = {"processes": ProcessRecord}

    processes: list[ProcessRecord]


@dataclass(frozen=True)
class MonthRecord(Message):
    """What the orchestrator recorded of one month. `attempts`, `rows` and both hashes are the main step's.

    Where that did not run, `attempts` are those of the first step that did.
    """

    LISTS: ClassVar = {"tasks": TaskRecord}

    month: str
    state: MonthState
    attempts: int = 0
    rows: int | None = None
    source_sha256: str | None = None
    digest: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    error: str | None = None
    tasks: list[TaskRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """The warnings of its steps, one line each, in the order of the steps."""

    @property
    def warned(self) -> str:
        """How many warnings there are, as in ``1 warning``; empty without any."""
        return counted(len(self.warnings), "warning") if self.warnings else ""

    @property
    def summary(self) -> str:
        """The state, and how many warnings there are, as in ``success, 1 warning``."""
        return ", ".join(filter(None, (self.state, self.warned)))


@dataclass(frozen=True)
class BackfillResult(Message):
    """The result of a backfill. `status` is ``failed`` when a month failed. `notes` are for whoever reads `seconds`."""

    LISTS: ClassVar = {"months": MonthRecord}

    status: Literal["success", "failed"]
    version: str
    seconds: float
    months: list[MonthRecord]
    notes: list[str] = field(default_factory=list)
    mode: Mode = "runs"
    """The mode that was asked for: results of two modes are never compared."""

    @classmethod
    def of(cls, version: str, started: float, months: list[MonthRecord], notes: list[str] | None = None) -> Self:
        """Build the result from its `months`; `started` is a `time.monotonic()` reading."""
        failed = any(month.state == "failed" for month in months)
        return cls(
            "failed" if failed else "success", version, round(time.monotonic() - started, 3), months, notes or []
        )


def month_record(
    month: str,
    tasks: list[TaskRecord],
    receipts: Mapping[str, Mapping[str, Any]],
    error: str | None,
    pipeline: Pipeline = TAXI_PIPELINE,
) -> MonthRecord:
    """Return the record of one month, from its tasks as the orchestrator recorded them, and their receipts by name.

    A month is ``unchanged`` when the main step of its `pipeline` saw that these very bytes are loaded, and ``failed``
    when any step failed or could not run; one that was skipped does not fail it.
    """
    by_name = {task.task: task for task in tasks}
    main = receipts.get(pipeline.main, {})
    ran = [by_name[name].attempts for name in (pipeline.main, *pipeline.tasks) if name in by_name]
    ended = {name: by_name[name].state if name in by_name else "upstream failed" for name in pipeline.tasks}
    missing = [name for name, state in ended.items() if state in ("failed", "upstream failed")]
    if missing and not error:
        error = f"did not run: {', '.join(missing)}"
    state: MonthState = "failed" if error else "unchanged" if main.get("state") == "unchanged" else "success"
    starts = [task.started_at for task in tasks if task.started_at]
    ends = [task.ended_at for task in tasks if task.ended_at]
    return MonthRecord(
        month=month,
        state=state,
        attempts=next(filter(None, ran), 0),
        rows=main.get("rows"),
        source_sha256=main.get("source_sha256"),
        digest=main.get("digest"),
        started_at=min(starts, default=None),
        ended_at=max(ends, default=None),
        error=error,
        tasks=sorted(tasks, key=lambda task: pipeline.order(task.task)),
        warnings=[line for task in sorted(receipts, key=pipeline.order) for line in receipts[task].get("warnings", [])],
    )


def month_of_run(run: RunRecord, pipeline: Pipeline) -> MonthRecord:
    """Return the record of a month from the record of its run, which has ended, of any pipeline."""
    receipts = {task.task: task.returned for task in run.tasks if isinstance(task.returned, dict)}
    error = run.error or (None if run.state in ("success", "skipped") else f"the run ended {run.state}")
    return month_record(str(run.partition), run.tasks, receipts, error, pipeline)
