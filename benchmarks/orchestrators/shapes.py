"""The pipelines that the benchmarks run: a month whose steps do nothing, chains of tasks, and tasks side by side.

Standard library only, because each orchestrator's environment imports it.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.lab.protocol import Parameter, Pipeline
from core.run import TASKS

NO_OP = Pipeline("no_op", [*TASKS[:2], "pending", *TASKS[2:]], main="ingest_month")
"""The taxi pipeline's tasks, in its shape, each of which does nothing: what remains is the orchestrator's own cost."""

QUICK = 10
"""Which Fibonacci number a task computes that does next to nothing."""


@dataclass(frozen=True)
class Chain:
    """Tasks that run strictly one after the other; each computes a Fibonacci number by naive recursion."""

    name: str
    length: int
    number: int
    """Which Fibonacci number: the tenth takes microseconds, the 33rd a third of a second or more."""

    @property
    def tasks(self) -> list[str]:
        """The names of its tasks, in order."""
        return [f"step_{position:02}" for position in range(1, self.length + 1)]

    def pipeline(self, isolation: str) -> Pipeline:
        """Return the pipeline that runs it with one of the kinds of isolation: each kind is a pipeline of its own."""
        return Pipeline(f"{self.name}_{isolation}", self.tasks, main=self.tasks[0], month="none")


LIGHT = Chain("light", 40, QUICK)
LONG = Chain("long", 10, 33)
SHORT = Chain("short", 3, QUICK)

CHAINS = (LIGHT, LONG, SHORT)

TASK_PROCESSES = "task_processes"
"""A kind of isolation: each task is a process, forked from one that has imported what a task needs."""

TASK_INTERPRETERS = "task_interpreters"
"""Each task is a new interpreter, which imports by itself."""

RUN_POOL = "run_pool"
"""Each run starts a pool of processes, and sends its tasks to it."""

RUN_PROCESSES = "run_processes"
"""Each run is a process, and its tasks are calls in it."""

ISOLATIONS = {
    RUN_PROCESSES: "process per run",
    TASK_PROCESSES: "process per task",
    RUN_POOL: "process pool per run",
    TASK_INTERPRETERS: "interpreter per task",
}
"""The kinds of isolation in the words of the results, in the order in which they are measured."""


def wide(isolation: str) -> Pipeline:
    """Return the pipeline of tasks that are independent of one another: a run is told how many it has."""
    tasks = {"tasks": Parameter("How many tasks", 1)}
    return Pipeline(f"wide_{isolation}", ["step"], main="step", month="none", parameters=tasks)


PAST_RUN = Pipeline("past_run", SHORT.tasks, main=SHORT.tasks[0], month="none")
"""Three tasks that cost as little as the orchestrator allows: what fills a history with runs."""

PAST_RUNS = Pipeline("past_runs", ["make"], main="make", month="none", parameters={"runs": Parameter("How many", 1)})
"""A run that makes so many of `PAST_RUN` in its own process, where the orchestrator has that."""

EDITED = Pipeline("edited", ["step"], main="step", month="none")
"""The pipeline whose file is edited while the services run."""
