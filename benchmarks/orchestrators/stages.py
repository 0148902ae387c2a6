"""Where each second of a month goes, from the orchestrator's own records of the runs of a backfill.

A month occupies one of the slots in which months run side by side. Its stages follow one another, from the moment at
which the slot is free to the end of the month's run:

    next       the month before in the slot has ended, and the run of this one is not created yet
    queued     the run is created and its slot is free, until the orchestrator begins to start it
    start      its process starts and imports, until its first task starts. Where each task is a process, also from the
               decision to run a task until it starts; what such a task imports is in its own seconds
    steps      a task runs. While two do, the seconds are those of the one that ends last
    hand_over  a task has ended, and the next one is not assigned yet, by a task that is none of the pipeline's too
    end        the last task has ended, and the run has not

``before_s`` is from the wish to the creation of the first run, and ``after_s`` from the end of the last one to the
answer of the lab's runner.
"""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.harness.measure import BenchmarkError, Row
from benchmarks.orchestrators.chains import instant, times
from core.lab.protocol import TAXI_PIPELINE, RunRecord, TaskRecord
from core.lab.runs import Runs

STAGES = ("next", "queued", "start", "steps", "hand_over", "end")

TASKS = tuple(TAXI_PIPELINE.tasks)
"""The steps by name, which add up to the stage `steps`."""

Times = tuple[float, float, float]
"""When a task was assigned, started and ended."""


def recorded(runs: Runs, months: int, since: float) -> list[RunRecord]:
    """Return the runs of a backfill of so many months that began at `since`, in seconds since 1970.

    Raise `BenchmarkError` when the orchestrator has no record of some.
    """
    # Those of an earlier round may be among the newest: Airflow runs the same runs again.
    newest = runs.newest(TAXI_PIPELINE.name, 4 * months)
    ours = [run for run in newest if instant(run.created_at) >= since]
    if len(ours) < months:
        raise BenchmarkError(f"{runs.orchestrator.name} has records of {len(ours)} of {months} runs of a backfill")
    return runs.look_up(TAXI_PIPELINE.name, (run.run_id for run in ours))


def stages(runs: Sequence[RunRecord], since: float, until: float) -> Row:
    """Return the mean seconds of a month in each stage and each step, which add up to ``month_s``, and the medians."""
    months = list(of_months(runs))
    names = [name for name in (*STAGES, *TASKS) if any(name in month for month in months)]
    values = {name: [month.get(name, 0.0) for month in months] for name in names}
    wholes = [sum(month[stage] for stage in STAGES) for month in months]
    return {
        "before_s": round(min(instant(run.created_at) for run in runs) - since, 3),
        "after_s": round(until - max(instant(run.ended_at) for run in runs), 3),
        "month_s": round(statistics.mean(wholes), 4),
        **{f"{name}_s": round(statistics.mean(found), 4) for name, found in values.items()},
        "medians": {name: round(statistics.median(found), 3) for name, found in {"month": wholes, **values}.items()},
    }


def of_months(runs: Sequence[RunRecord]) -> Iterator[Mapping[str, float]]:
    """Yield the seconds of each run in each stage, in the order in which they were started.

    A run takes over the slot that has been free for longest; the first ones have a slot of their own.
    """
    ends: list[float] = []
    for run in sorted(runs, key=_launched):
        free = heapq.heappop(ends) if ends and ends[0] <= _launched(run) else None
        yield of_month(run, free)
        heapq.heappush(ends, instant(run.ended_at))


def of_month(run: RunRecord, free: float | None) -> dict[str, float]:
    """Return the seconds of a run in each stage and in each step; `free` is the end of the month before, if any."""
    created, launched = instant(run.created_at), _launched(run)
    if free is None:
        free = created
    found = dict.fromkeys(STAGES, 0.0)
    found["next"] = max(0.0, created - free)
    found["queued"] = max(0.0, launched - max(created, free))
    now, waits = launched, "start"
    tasks = _in_order(run.tasks)
    for _, (assigned, started, ended) in tasks:
        if started > now:
            assigned = max(assigned, now)
            found[waits] += assigned - now
            found["start"] += started - assigned
            now = started
        found["steps"] += max(0.0, ended - now)
        now, waits = max(now, ended), "hand_over"
    found["end"] = max(0.0, instant(run.ended_at) - now)
    return found | _by_name(tasks)


def _by_name(tasks: Sequence[tuple[str, Times]]) -> dict[str, float]:
    """Return the seconds of each step: where two overlap, they are those of the one that the run waits for longer."""
    found, covered_from = {}, math.inf
    for task, (_, started, ended) in sorted(tasks, key=lambda each: each[1][2], reverse=True):
        found[task] = max(0.0, min(ended, covered_from) - started)
        covered_from = min(covered_from, started)
    return found


def _in_order(tasks: Sequence[TaskRecord]) -> list[tuple[str, Times]]:
    """Return the tasks that ran, in the order of their starts."""
    ran = [task for task in tasks if task.started_at and task.ended_at and task.state != "skipped"]
    return sorted(((task.task, times(task)) for task in ran), key=lambda each: each[1][1])


def _launched(run: RunRecord) -> float:
    return instant(run.launched_at or run.started_at)
