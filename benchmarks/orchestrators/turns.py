"""The turns of `benchmarks.orchestrators.curves`: what is measured on one line, in a round and once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.harness.measure import Row
from benchmarks.orchestrators import chains, edits, place, scale
from benchmarks.orchestrators.shapes import ISOLATIONS, RUN_PROCESSES, SHORT, TASK_PROCESSES
from core.lab.registry import Orchestrator
from core.lab.runs import Runs
from core.lab.session import Lab
from core.settings import Settings

MOST = 100
"""The largest number of tasks that is measured in every round."""


@dataclass(frozen=True)
class Line:
    """An orchestrator in one kind of isolation."""

    orchestrator: Orchestrator
    kind: str
    is_first: bool
    """Whether it is the orchestrator's first line, with which what is the same in every kind is measured."""

    @property
    def key(self) -> Row:
        """What its rows have in common."""
        return {"orchestrator": self.orchestrator.name, "isolation": ISOLATIONS[self.kind]}


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    tasks: Sequence[int]
    runs: int
    history: Sequence[int]
    samples: int
    rounds: int
    deadline_s: float

    def small(self) -> list[int]:
        """Return the numbers of tasks of every round."""
        return [size for size in self.tasks if size <= MOST]

    def large(self) -> list[int]:
        """Return those that are measured once."""
        return [size for size in self.tasks if size > MOST]


def lines(at: Settings, chosen: Sequence[Orchestrator]) -> list[Line]:
    """Return the lines: every kind of isolation that an orchestrator offers, the cheaper one first."""
    found = []
    with Lab(place.passing_on(at, place.SUBJECTS)) as lab:
        for each in chosen:
            names = {pipeline.name for pipeline in lab.stack(each).description.pipelines}
            kinds = [kind for kind in (RUN_PROCESSES, TASK_PROCESSES) if SHORT.pipeline(kind).name in names]
            found += [Line(each, kind, kind == kinds[0]) for kind in kinds]
    return found


class Stopped:
    """What did not end on a line is not tried again there, and neither is a larger size of it."""

    def __init__(self) -> None:
        self._lines: set[tuple[str, ...]] = set()

    def has(self, line: Line, *what: str) -> bool:
        """Return whether this was given up on the line."""
        return (line.orchestrator.name, line.kind, *what) in self._lines

    def note(self, line: Line, row: Row) -> Row:
        """Remember a row that did not end in time, and return it. One that failed says nothing of a larger size."""
        if row["state"] == "not ended":
            self._lines.add((line.orchestrator.name, line.kind, row["what"], *filter(None, [row.get("edit")])))
        return row


def first_task(at: Settings, line: Line, lab: Lab) -> Row:
    """Bring the services up, and run the chain of three tasks."""
    began = time.time()
    lab.start([line.orchestrator])
    up_s = time.time() - began
    pipeline, runs = SHORT.pipeline(line.kind).name, Runs(lab, line.orchestrator)
    record = runs.observe(pipeline, runs.start(pipeline, {}), wait_s=None)
    ends = [chains.instant(task.ended_at) for task in record.tasks if task.state == "success"]
    state = "ended" if record.state == "success" else "failed"
    first_s = round(min(ends) - began, 3) if ends else None
    return {"what": "start", "state": state, "up_s": round(up_s, 3), "first_s": first_s, "error": record.error}


def tasks(runs: Runs, line: Line, sizes: Sequence[int], stopped: Stopped, deadline_s: float) -> Iterator[Row]:
    """Measure each number of tasks until one does not end."""
    for size in sizes:
        if not stopped.has(line, "tasks"):
            yield stopped.note(line, scale.many_tasks(runs, line.kind, size, deadline_s))


def turn(at: Settings, line: Line, sizes: Sizes, stopped: Stopped) -> Iterator[Row]:
    """Take the turn of a line in a round."""
    here = edits.copied(at)
    with Lab(here) as lab:
        yield first_task(here, line, lab)
        runs = Runs(lab, line.orchestrator)
        yield from tasks(runs, line, sizes.small(), stopped, sizes.deadline_s)
        path = edits.file_of(here, line.orchestrator.name)
        for each in edits.EDITS if line.is_first else ():
            needed = each != edits.RESTART or stopped.has(line, "edit", edits.TASK)
            if needed and not stopped.has(line, "edit", each):
                yield stopped.note(line, edits.edit(runs, path, each, min(sizes.deadline_s, edits.MOST_S)))


def once(line: Line, sizes: Sizes, stopped: Stopped) -> Iterator[Row]:
    """Measure what takes minutes, in a state folder of its own: its history begins with no run."""
    with place.state() as at, Lab(place.passing_on(at, place.SUBJECTS)) as lab:
        lab.start([line.orchestrator])
        runs = Runs(lab, line.orchestrator)
        if line.is_first:
            yield from scale.history(runs, line.kind, sizes.history, sizes.samples, sizes.deadline_s)
        yield from tasks(runs, line, sizes.large(), stopped, sizes.deadline_s)
        # Last: what has not ended by then is still queued.
        yield scale.many_runs(runs, line.kind, sizes.runs, sizes.deadline_s)
