"""What a chain of tasks costs on each orchestrator: from the wish to the first task, each task, and to the end.

    python -m benchmarks.orchestrators.chains [--rounds N] [--samples N] [--on NAMES]

Three chains (`benchmarks.orchestrators.shapes`), in each kind of isolation that an orchestrator offers: `light`, of
many tasks that do next to nothing; `long`, of some that compute for a while; and `short`, of three tasks, which is run
`--samples` times in each round in the first kind of isolation, and `FEW` times in the others. In a round the
orchestrators take turns, and only the services of the one that has its turn run. The first run of `short` after the
services came up counts as a chain of its own, `first`.

The parts of a run are of the orchestrator's own times, and add up to ``run_s``:

    before      from the run's creation until its first task is assigned
    assignment  from the decision to run a task until it starts, where the orchestrator records both
    execution   from the start to the end of a task
    transition  from the end of a task until the next one is assigned
    after       from the end of the last task to the end of the run

``wall_s`` is of an outside clock: from the call that starts the run until the lab's client, which looks every half
second or more often, sees its end. Each run starts once the one before it has ended.

Python in one process, Python with a process or an interpreter for each task, and make are the zero lines: all that they
take is called execution.
"""

from __future__ import annotations

import argparse
import datetime as dt
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain as joined
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from benchmarks.orchestrators import place
from benchmarks.orchestrators.fibonacci import fibonacci
from benchmarks.orchestrators.shapes import CHAINS, ISOLATIONS, SHORT, TASK_INTERPRETERS, TASK_PROCESSES, Chain
from core.lab.protocol import RunRecord, TaskRecord
from core.lab.registry import Orchestrator
from core.lab.runs import Runs
from core.lab.session import Lab
from core.settings import ROOT, Settings

PER_TASK, INTERPRETER, IN_PROCESS = ISOLATIONS[TASK_PROCESSES], ISOLATIONS[TASK_INTERPRETERS], "in-process"
"""The kinds of isolation of the zero lines: the last one starts no process."""

FEW = 4
"""How often the chain of three tasks is run in a round, in other kinds of isolation than the first."""

FIRST = "first"
"""What the first run after a start is called among the chains."""

FIBONACCI = [sys.executable, "-m", "benchmarks.orchestrators.fibonacci"]

FORKS = multiprocessing.get_context("fork")


def parts(record: RunRecord) -> Row:
    """Return what a run's seconds are made of, from what the orchestrator recorded; the parts add up to ``run_s``.

    ``timeline`` has the times of each task in seconds after the run's creation: assigned, started, ended. Where an
    orchestrator does not record when it assigned a task, that is its start.
    """
    tasks = sorted(map(times, record.tasks), key=lambda task: task[1])
    created, ended = instant(record.created_at), instant(record.ended_at)
    spans = {
        "run_s": ended - created,
        "before_s": tasks[0][0] - created,
        "assignment_s": sum(started - assigned for assigned, started, _ in tasks),
        "execution_s": sum(end - started for _, started, end in tasks),
        "transition_s": sum(later[0] - earlier[2] for earlier, later in pairwise(tasks)),
        "after_s": ended - tasks[-1][2],
    }
    timeline = [[round(instant - created, 3) for instant in task] for task in tasks]
    return {**{name: round(value, 3) for name, value in spans.items()}, "timeline": timeline}


def times(task: TaskRecord) -> tuple[float, float, float]:
    """Return when a task was assigned, started and ended, in seconds since 1970."""
    started, ended = instant(task.started_at), instant(task.ended_at)
    assigned = instant(task.created_at) if task.created_at else started
    return min(assigned, started), started, ended


def instant(text: str | None) -> float:
    """Return a recorded time in seconds since 1970; raise `BenchmarkError` without one."""
    if text is None:
        raise measure.BenchmarkError("a run or a task that succeeded has no time of its start or of its end")
    return dt.datetime.fromisoformat(text).timestamp()


def chain_of(pipeline: str) -> tuple[Chain, str] | None:
    """Return the chain that a pipeline runs, and its isolation in words; None for a pipeline that is no chain."""
    known = {
        chain.pipeline(kind).name: (chain, isolation) for chain in CHAINS for kind, isolation in ISOLATIONS.items()
    }
    return known.get(pipeline)


def in_turn(runs: Runs, pipeline: str, count: int = 1) -> Iterator[Row]:
    """Run a pipeline so many times through the orchestrator, and say what the seconds of each run are made of.

    One call of the lab's runner does it: what would go by between two calls measures nothing.
    """
    for record, wall_s in runs.in_turn(pipeline, {}, count):
        if record.state != "success":
            raise measure.BenchmarkError(f"{runs.orchestrator.name}: a run of {pipeline} ended {record.state}")
        yield {"wall_s": wall_s, **parts(record)}


def turn(at: Settings, orchestrator: Orchestrator, samples: int) -> Iterator[Row]:
    """Take the turn of one orchestrator: every chain in each kind of isolation that it offers."""
    with Lab(place.passing_on(at, place.SUBJECTS)) as lab:
        lab.start([orchestrator])
        runs = Runs(lab, orchestrator)
        names = [each.name for each in lab.stack(orchestrator).description.pipelines]
        for number, (name, chain, isolation) in enumerate(in_order(names)):
            key = {"orchestrator": orchestrator.name, "isolation": isolation, "tasks": chain.length}
            if number == 0:
                yield from ({**key, "chain": FIRST, **row} for row in in_turn(runs, name))
            count = repeats(chain, samples if number == 0 else min(samples, FEW))
            yield from ({**key, "chain": chain.name, **row} for row in in_turn(runs, name, count))


def in_order(pipelines: Iterable[str]) -> list[tuple[str, Chain, str]]:
    """Return those of the pipelines that are chains, each with its chain and isolation, in the order of a round.

    The chain of three tasks comes first, in the first kind of isolation that there is.
    """
    found = [(name, *known) for name in pipelines if (known := chain_of(name))]
    kinds = list(ISOLATIONS.values())
    return sorted(found, key=lambda each: (each[1].length, kinds.index(each[2])))


def repeats(chain: Chain, samples: int) -> int:
    """Return how often a chain is run in a round."""
    return samples if chain is SHORT else 1


def in_process(chain: Chain) -> None:
    """Compute every number of a chain here."""
    for _ in chain.tasks:
        fibonacci(chain.number)


def in_processes(chain: Chain) -> None:
    """Compute every number of a chain in a forked process of its own."""
    for _ in chain.tasks:
        process = FORKS.Process(target=fibonacci, args=(chain.number,))
        process.start()
        process.join()


def in_interpreters(chain: Chain) -> None:
    """Compute every number of a chain in a Python of its own."""
    for _ in chain.tasks:
        subprocess.run([*FIBONACCI, str(chain.number)], cwd=ROOT, check=True)


def with_make(chain: Chain) -> None:
    """Have make compute them: a target for each task, which needs the one before it."""
    command = " ".join([*FIBONACCI, str(chain.number)])
    rules = [f"{name}: {before}\n\t@{command}\n" for before, name in pairwise(["", *chain.tasks])]
    with tempfile.TemporaryDirectory() as folder:
        makefile = Path(folder, "Makefile")
        makefile.write_text(f".PHONY: {' '.join(chain.tasks)}\n" + "".join(rules))
        words = ["make", "--file", str(makefile), "--no-print-directory", chain.tasks[-1]]
        subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


ZERO_LINES: Mapping[tuple[str, str], Callable[[Chain], None]] = {
    ("python", IN_PROCESS): in_process,
    ("python", PER_TASK): in_processes,
    ("python", INTERPRETER): in_interpreters,
    ("make", INTERPRETER): with_make,
}
"""What the same work costs without an orchestrator, by the name of the line and its kind of isolation."""


def zero_lines(samples: int) -> Iterator[Row]:
    """Run every chain without an orchestrator."""
    for (name, isolation), work in ZERO_LINES.items():
        for chain in CHAINS:
            for _ in range(repeats(chain, samples)):
                began = time.perf_counter()
                work(chain)
                took = round(time.perf_counter() - began, 3)
                none = dict.fromkeys(("before_s", "assignment_s", "transition_s", "after_s"), 0.0)
                key = {"orchestrator": name, "isolation": isolation, "tasks": chain.length, "chain": chain.name}
                yield {**key, "wall_s": took, "run_s": took, "execution_s": took, **none}


def rows(at: Settings, chosen: Sequence[Orchestrator], rounds: int, samples: int) -> Iterator[Row]:
    """Yield a row for each run, all lines of a round before the next round."""
    for number in range(1, rounds + 1):
        turns = (turn(at, each, samples) for each in chosen)
        for row in joined(zero_lines(samples), *turns):
            yield {"round": number, **row}


def main(argv: list[str] | None = None) -> int:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(prog="benchmarks.orchestrators.chains", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=34, help="runs of the chain of three tasks in each round")
    parser.add_argument("--on", default="all", help="orchestrators, comma separated, or all")
    measure.folder_option(parser)
    asked = parser.parse_args(argv)
    found: list[dict[str, Any]] = []
    with place.state() as at:
        chosen = place.with_services(asked.on, at)
        facts = {**place.facts(at, chosen), "samples": asked.samples}
        for row in rows(at, chosen, asked.rounds, asked.samples):
            print(f"{row['orchestrator']:<9} round {row['round']}  {row['chain']:<6} {row['isolation']:<15}"
                  f"{row['wall_s']:8.2f} s", flush=True)  # fmt: skip
            found.append(row)
    print(os.path.relpath(measure.write("chains", facts, found, asked.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
