"""Measurements of many tasks and many runs, each with a deadline; `benchmarks.orchestrators.curves` says what they are.

Each returns a row, whatever happened: ``state`` is ``ended``, ``not ended`` when the deadline was over, or ``failed``.
Seconds are of the orchestrator's own times. The lab looks at runs through their list, seldom, because each look is
a process and a query of all tasks would compete with what is measured.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from benchmarks.harness.measure import BenchmarkError, Row
from benchmarks.orchestrators import chains
from benchmarks.orchestrators.shapes import PAST_RUN, PAST_RUNS, SHORT, wide
from core.errors import TriptychError
from core.lab.protocol import RunRecord
from core.lab.runs import Runs

LOOK_S, LOOK_SHARE = 1.0, 0.05
"""The pause between two looks, and the share of the time so far that it grows to."""

PAGE = 20
"""How many runs a listing asks for, as `triptych runs` does."""

GONE_S = 60.0
"""How long a canceled run may take to end before what comes next is measured beside it."""

Records = dict[str, RunRecord]


def wait(runs: Runs, pipeline: str, ids: Sequence[str], deadline_s: float) -> Records:
    """Return the records of runs by id, once all have ended, or once `deadline_s` is over."""
    began = time.monotonic()
    while True:
        found = {each.run_id: each for each in runs.newest(pipeline, len(ids)) if each.run_id in ids}
        passed = time.monotonic() - began
        if sum(each.has_ended for each in found.values()) == len(ids) or passed >= deadline_s:
            return found
        time.sleep(min(max(LOOK_S, LOOK_SHARE * passed), max(deadline_s - passed, 0.0)))


def state_of(records: Iterable[RunRecord], count: int) -> str:
    """Return how `count` runs, of which there are these records, are at the end of a measurement."""
    states = [each.state for each in records]
    if len(states) < count or {"queued", "running"} & {*states}:
        return "not ended"
    return "ended" if {*states} == {"success"} else "failed"


def spanned(records: Iterable[RunRecord]) -> Row:
    """Return the seconds from the creation of the first run to the end of the last one, and to the last creation.

    Of runs that have not all ended, the end is that of the last one that has.
    """
    found = list(records)
    created = [chains.instant(each.created_at) for each in found]
    ends = [chains.instant(each.ended_at) for each in found if each.state == "success"]
    return {
        "run_s": round(max(ends) - min(created), 3) if ends else None,
        "submit_s": round(max(created) - min(created), 3) if created else None,
        "ended": len(ends),
    }


def many_tasks(runs: Runs, kind: str, tasks: int, deadline_s: float) -> Row:
    """Run the pipeline of independent tasks once, with so many of them."""
    name = wide(kind).name
    run_id = runs.start(name, {"tasks": tasks})
    record = wait(runs, name, [run_id], deadline_s).get(run_id)
    state = state_of([record] if record else [], 1)
    row: Row = {"what": "tasks", "tasks": tasks, "state": state, "run_s": None, "ended": tasks}
    if state == "ended" and record:
        return {**row, "run_s": spanned([record])["run_s"]}
    seen = runs.observe(name, run_id)
    done = sum(task.state == "success" and task.task.startswith("step") for task in seen.tasks)
    end(runs, name, run_id)
    return {**row, "ended": done, "error": seen.error, "deadline_s": deadline_s}


def end(runs: Runs, pipeline: str, run_id: str) -> None:
    """Cancel a run, and wait until it has ended: what follows must not be measured beside it."""
    # One that fails to end is no reason to lose the measurements before it.
    with suppress(TriptychError):
        runs.cancel(pipeline, run_id)
        wait(runs, pipeline, [run_id], GONE_S)


def many_runs(runs: Runs, kind: str, count: int, deadline_s: float) -> Row:
    """Start so many runs of the chain of three tasks, one right after the other, and wait for all of them.

    What has not been started when the deadline is over stays that way.
    """
    name, began = SHORT.pipeline(kind).name, time.monotonic()
    ids = runs.start_many(name, {}, count, deadline_s)
    records = wait(runs, name, ids, max(deadline_s - (time.monotonic() - began), 0.0)).values()
    row: Row = {"what": "runs", "runs": count, "state": state_of(records, count), **spanned(records)}
    return row if row["state"] == "ended" else {**row, "deadline_s": deadline_s}


def history(runs: Runs, kind: str, sizes: Sequence[int], samples: int, deadline_s: float) -> Iterator[Row]:
    """Measure a trivial run and the list of runs `samples` times each, with about so many runs in the history."""
    for size in sizes:
        there = fill(runs, size, deadline_s)
        state = "ended" if there >= size else "not ended"
        row: Row = {"what": "history", "runs": size, "there": there, "state": state, "deadline_s": deadline_s}
        if state != "ended":
            yield row
            return
        for _ in range(samples):
            (run,) = chains.in_turn(runs, SHORT.pipeline(kind).name)
            began = time.perf_counter()
            runs.newest(limit=PAGE)
            listed_s = time.perf_counter() - began
            yield {**row, "run_s": run["run_s"], "wall_s": run["wall_s"], "list_s": round(listed_s, 3)}


def fill(runs: Runs, size: int, deadline_s: float) -> int:
    """Fill the history up to `size` runs with the cheapest that there are; return how many there are then."""
    missing = size - there(runs, size)
    if missing > 0:
        known = {each.name for each in runs.lab.stack(runs.orchestrator).description.pipelines}
        name = PAST_RUNS.name if PAST_RUNS.name in known else PAST_RUN.name
        if name == PAST_RUN.name:
            ids = runs.start_many(name, {}, missing)
        else:
            # This run is one of the history too.
            ids = [runs.start(name, {"runs": max(missing - 1, 0)})]
        if "failed" in {each.state for each in wait(runs, name, ids, deadline_s).values()}:
            raise BenchmarkError(f"{runs.orchestrator.name}: the history can't be filled: a run of {name} failed")
    return there(runs, size)


def there(runs: Runs, most: int) -> int:
    """Return how many runs of any pipeline have ended, as far as that is at most about `most`."""
    return sum(each.has_ended for each in runs.newest(limit=most + PAGE))
