"""What keeps two tasks apart, what does the one that waits hold, and what stays queued for ever?"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from core.errors import TransientError
from core.lab.protocol import RunRecord
from core.waiting import until
from tests.contract.bench import MONTHS
from tests.questions.asking import Answers, Asking, Question, Row
from tests.questions.limits.pipelines import POOL

PIPELINE = "limited"

PATIENCE_S = 240.0
"""How long anything that must happen may take, on a busy machine."""

CANCELED_S = 360.0
"""How long a canceled run may take to end. Dagster interrupts no step that waits for a slot; its run monitoring ends
the run once it has been canceling for 180 s, which it looks at every 15 s here, and every 120 s as shipped."""

REFUSED_S = 10.0
"""How long to look whether a run that can get no slot fails instead of waiting."""

FREED_S = 60.0
"""How long to wait for a slot whose holder was killed: whoever gets it later is said to wait."""


@dataclass(frozen=True)
class Started:
    """A run of the pipeline, and the folder in which its transform says what it does."""

    asking: Asking
    folder: Path
    name: str
    run_id: str

    def record(self, wait_s: float | None = 0.0) -> RunRecord:
        """Return its record."""
        return self.asking.runs.observe(PIPELINE, self.run_id, wait_s)

    def states(self) -> dict[str, str]:
        """Return the states of its tasks, as they are now."""
        return {task.task: task.state for task in self.record().tasks}

    @property
    def holds(self) -> bool:
        """Whether its transform has begun: it has a slot."""
        return (self.folder / f"{self.name}.began").exists()

    def wait_until_it_holds(self) -> None:
        """Return when its transform has begun."""
        until(lambda: self.holds or None, PATIENCE_S, 0.1, f"the transform of {self.name}")

    def wait_until_it_waits(self) -> RunRecord:
        """Return its record when its first task has ended, and the next one is what is left to run."""

        def look() -> RunRecord | None:
            record = self.record()
            states = {task.task: task.state for task in record.tasks}
            return record if states.get("begin") == "success" else None

        return until(look, PATIENCE_S, 0.5, f"the first task of {self.name}")


@dataclass(frozen=True)
class Place:
    """A folder in which the runs of one row meet."""

    asking: Asking
    folder: Path

    def start(self, name: str) -> Started:
        """Start a run."""
        run_id = self.asking.runs.start(PIPELINE, {"folder": str(self.folder), "name": name})
        return Started(self.asking, self.folder, name, run_id)

    def open(self) -> None:
        """Let every transform end that holds a slot, or will."""
        (self.folder / "open").touch()


@contextmanager
def place(asking: Asking, slots: int) -> Iterator[Place]:
    """Set the limit, and yield a folder; let all that is left there end."""
    asking.runs.limit(POOL, slots)
    with tempfile.TemporaryDirectory() as folder:
        here = Place(asking, Path(folder))
        try:
            yield here
        finally:
            here.open()


def two_slots(asking: Asking) -> str:
    """Two runs at once, and two slots."""
    with place(asking, 2) as here:
        runs = [here.start(name) for name in ("first", "second")]
        for run in runs:
            run.wait_until_it_holds()
        here.open()
        ended = [run.record(None).state for run in runs]
    return "together" if ended == ["success", "success"] else f"ended as {ended}"


def one_slot(asking: Asking) -> dict[str, Any]:
    """Two runs at once, and one slot: what the one that waits looks like, and what it holds."""
    with place(asking, 1) as here:
        first = here.start("first")
        first.wait_until_it_holds()
        second = here.start("second")
        waiting = second.wait_until_it_waits()
        apart = not second.holds
        processes = [each for each in asking.runs.processes() if each.record.run_id == second.run_id]
        here.open()
        ended = [run.record(None).state for run in (first, second)]
    states = {task.task: task.state for task in waiting.tasks}
    return {
        "kept apart": apart and ended == ["success", "success"],
        "waiting run": waiting.state,
        "waiting task": states.get("transform", "queued"),
        "holds a process": bool(processes),
    }


def no_slot(asking: Asking) -> dict[str, Any]:
    """No slot: the run waits until somebody adds one."""
    with place(asking, 0) as here:
        run = here.start("only")
        run.wait_until_it_waits()
        without = run.record(REFUSED_S)
        here.open()
        asking.runs.limit(POOL, 1)
        return {
            "with no slot": without.state if without.has_ended else "waits",
            "with a slot": run.record(PATIENCE_S).state,
        }


def canceled_while_it_runs(asking: Asking) -> dict[str, Any]:
    """Cancel the run that holds the slot."""
    with place(asking, 1) as here:
        run = here.start("only")
        run.wait_until_it_holds()
        asking.runs.cancel(PIPELINE, run.run_id)
        return _left(run)


def canceled_while_it_waits(asking: Asking) -> dict[str, Any]:
    """Cancel the run that waits for the slot of another one."""
    with place(asking, 1) as here:
        first = here.start("first")
        first.wait_until_it_holds()
        second = here.start("second")
        second.wait_until_it_waits()
        asking.runs.cancel(PIPELINE, second.run_id)
        left = _left(second)
        here.open()
        return left | {"the other run": first.record(None).state}


def _left(run: Started) -> dict[str, Any]:
    record = run.record(CANCELED_S)
    states = {task.task: task.state for task in record.tasks}
    tasks = {name: states.get(name, "no record") for name in ("transform", "report")}
    return {"run": record.state if record.has_ended else f"still {record.state}", **tasks}


def holder_killed(asking: Asking) -> dict[str, Any]:
    """Kill the process that holds the slot: does the next run get it?"""
    with place(asking, 1) as here:
        run = here.start("killed")
        run.wait_until_it_holds()
        for each in asking.runs.processes():
            if each.record.run_id == run.run_id:
                psutil.Process(each.record.pid).kill()
        ended = run.record(PATIENCE_S)
        following = here.start("next")
        try:
            until(lambda: following.holds or None, FREED_S, 0.2, "the slot")
            freed = True
        except TransientError:
            freed = False
        if not freed:
            asking.runs.cancel(PIPELINE, following.run_id)
        return {"killed run": ended.state, "next run has the slot within 60 s": freed}


def two_backfills(asking: Asking) -> dict[str, Any]:
    """Start two backfills of overlapping months of the taxi pipeline at once."""
    bench, schema = asking.bench, asking.bench.schema()
    spans = (MONTHS[:3], MONTHS[1:])
    with ThreadPoolExecutor(2) as pool:
        results = list(
            pool.map(lambda months: bench.backfill(asking.orchestrator, months, bench.folder, schema), spans)
        )
    identical = bench.tables(schema) == bench.baseline(bench.folder, MONTHS)
    return {"backfills": [result.status for result in results], "tables": "identical" if identical else "different"}


CASES: Mapping[str, Callable[[Asking], Any]] = {
    "two runs, two slots": two_slots,
    "two runs, one slot": one_slot,
    "one run, no slot": no_slot,
    "the run that holds the slot is canceled": canceled_while_it_runs,
    "the run that waits for a slot is canceled": canceled_while_it_waits,
    "the process that holds the slot is killed": holder_killed,
    "two backfills of overlapping months": two_backfills,
}

EXPECTED: Mapping[str, Any] = {
    "two runs, two slots": "together",
    "one run, no slot": {"with no slot": "waits", "with a slot": "success"},
    "two backfills of overlapping months": {"backfills": ["success", "success"], "tables": "identical"},
}

IN_TESTS = ("two runs, one slot",)

ROWS = [Row({"case": case}, EXPECTED.get(case), in_tests=case in IN_TESTS) for case in CASES]


def ask(asking: Asking, rows: Sequence[Row]) -> Answers:
    """Yield what happened in each case, one after the other: they share the pool."""
    for row in rows:
        yield row, CASES[row.key["case"]](asking)


QUESTION = Question("limits", "What keeps two tasks apart, and what stays queued for ever?", ROWS, ask)
