"""The page on what a chain of tasks costs, from the results of `benchmarks.orchestrators.chains`."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from benchmarks.harness.markdown import header, number, ranged, table
from benchmarks.harness.measure import Row, spread
from benchmarks.orchestrators.chains import FIRST
from benchmarks.orchestrators.shapes import CHAINS, LIGHT, LONG, SHORT, Chain

TITLES = {
    "process per task": "A process for each task, forked from one that has imported what it needs",
    "interpreter per task": "A new interpreter for each task",
    "process pool per run": "A pool of processes for each run",
    "process per run": "A process for each run",
    "in-process": "No process of its own",
}
"""The kinds of isolation, in the order of the page, each with its title."""

PARTS = ("before_s", "assignment_s", "execution_s", "transition_s", "after_s")

Line = tuple[str, str]
"""An orchestrator, or a zero line, and its kind of isolation."""


def page(result: dict[str, Any]) -> str:
    """Return the whole page."""
    rows: list[Row] = result["rows"]
    warm = [row for row in rows if row["chain"] != FIRST]
    return "\n".join(
        [
            header("What a chain of tasks costs on each orchestrator", "benchmarks/results/chains.json", result),
            f"Tasks that run strictly one after the other. `{LIGHT.name}`: {LIGHT.length} tasks that each compute "
            f"the {LIGHT.number}th Fibonacci number, which takes microseconds. `{LONG.name}`: {LONG.length} tasks of "
            f"the {LONG.number}rd, {number(_long_task_s(warm))} s each in plain Python. `{SHORT.name}`: {SHORT.length} "
            "tasks like those of "
            f"`{LIGHT.name}`. Each runs through the orchestrator's own services, with the settings of its adapter. "
            "Compare within a kind of isolation only: a process for each task survives what a call in a shared "
            "process does not, and costs its start. The lines without services are the same work without an "
            "orchestrator. Dagster's executor is in two of the kinds: as shipped it starts an interpreter for each "
            "task, and one setting (`start_method: forkserver`) has it fork them from a server, which each run starts. "
            "No orchestrator's services run the tasks of a run in a process that other runs share. Airflow's "
            "`dag.test()`, Dagster's `execute_in_process` and a call of a Prefect flow run in the caller's process, "
            "without services, and are not compared.\n",
            "## Seconds of a run\n",
            f"By the orchestrator's own clock, from the creation of the run to its end: medians of "
            f"{max(row['round'] for row in rows)} rounds, with the smallest and the largest in brackets; n is the "
            f"number of runs of `{SHORT.name}`.\n",
            *_by_isolation(warm),
            "## Where the seconds of a task go\n",
            f"Milliseconds for each task of `{LIGHT.name}`: the median over the rounds of the mean of a run. "
            "`assignment`: from the decision to run a task until it starts, where the orchestrator records both; "
            "where it does not, this is in `transition`. `execution`: what it takes by its record. `transition`: "
            "from its end until the next one is assigned. `before` and `after` are of the whole run: from its "
            "creation to the first task, and from the last task to its end. The lines without services know only "
            "the whole, which is called execution.\n",
            table(["", "before", "assignment", "execution", "transition", "after"], _per_task(warm, LIGHT)),
            "## The first run after a start\n",
            f"A run of `{SHORT.name}` on services that have just come up, before anything else has run on them.\n",
            table(["", "the first run, s", "later ones, s"], _first(rows)),
        ]
    )


def _long_task_s(rows: list[Row]) -> float:
    """Return the seconds of one task of the long chain where nothing is around it."""
    alone: list[float] = [
        row["run_s"] for row in rows if row["isolation"] == "in-process" and row["chain"] == LONG.name
    ]
    return statistics.median(alone) / LONG.length


def _by_isolation(rows: list[Row]) -> Iterator[str]:
    for isolation, title in TITLES.items():
        if lines := [line for line in _lines(rows) if line[1] == isolation]:
            yield f"### {title}\n"
            head = ["", *(f"{each.name} ({each.length})" for each in CHAINS), f"{SHORT.name}: p95", "max", "n"]
            yield table(head, ([name, *_runs(_of(rows, (name, kind)))] for name, kind in lines))


def _runs(rows: list[Row]) -> Iterator[str]:
    for chain in CHAINS:
        yield ranged(spread(_run_s(rows, chain)))
    short = sorted(_run_s(rows, SHORT))
    yield number(percentile(short, 0.95))
    yield number(short[-1])
    yield str(len(short))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the ordered values that at least a `share` of them does not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def _per_task(rows: list[Row], chain: Chain) -> Iterator[list[str]]:
    for line in _lines(rows):
        found = [row for row in _of(rows, line) if row["chain"] == chain.name]
        yield [_title(line), *(_milliseconds(found, part, chain) for part in PARTS)]


def _milliseconds(rows: list[Row], part: str, chain: Chain) -> str:
    divisor = {"before_s": 1, "after_s": 1, "transition_s": chain.length - 1}.get(part, chain.length)
    return f"{1000 * statistics.median(row[part] for row in rows) / divisor:,.0f}"


def _first(rows: list[Row]) -> Iterator[list[str]]:
    for line in _lines([row for row in rows if row["chain"] == FIRST]):
        found = _of(rows, line)
        first = spread(row["run_s"] for row in found if row["chain"] == FIRST)
        yield [_title(line), ranged(first), ranged(spread(_run_s(found, SHORT)))]


def _title(line: Line) -> str:
    return ", ".join(line)


def _lines(rows: Iterable[Row]) -> list[Line]:
    return list(dict.fromkeys((row["orchestrator"], row["isolation"]) for row in rows))


def _of(rows: list[Row], line: Line) -> list[Row]:
    return [row for row in rows if (row["orchestrator"], row["isolation"]) == line]


def _run_s(rows: list[Row], chain: Chain) -> list[float]:
    return [row["run_s"] for row in rows if row["chain"] == chain.name]
