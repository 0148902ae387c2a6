"""What grows with the number of tasks and of runs on each orchestrator, and how soon it takes work and sees edits.

    python -m benchmarks.orchestrators.curves [--sizes 1,10,100,400,1000] [--runs N] [--history 1,100,500]
                                              [--rounds N] [--deadline-s S] [--on NAMES]

One row for each measurement, by `what`:

    start     from the call that brings the services up until the first task of the first run has ended; metadata
              exists, and PostgreSQL runs
    tasks     one run of so many independent tasks
    runs      so many runs of three tasks, started one right after the other: from the first creation to the last end
    history   a run of three tasks, and the list of the newest runs, with so many runs in the history
    edit      from an edit of a pipeline's file to the start of the first run that shows it (`edits`)

In each of `--rounds` rounds the orchestrators take turns, each in each kind of isolation, with the services of one of
them running: start, up to `turns.MOST` tasks, edits. What takes minutes is measured once, after the rounds, in a state
folder of its own: the history, more tasks, and last the many runs. What has not ended after `--deadline-s` is a row
that says so, and no larger size is tried on that line.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from benchmarks.orchestrators import chains, edits, place
from benchmarks.orchestrators.shapes import QUICK, SHORT, Chain
from benchmarks.orchestrators.turns import Sizes, Stopped, lines, once, turn
from core.lab.registry import Orchestrator
from core.lab.session import Lab
from core.settings import Settings


def zero_lines(sizes: Sizes) -> Iterator[Row]:
    """Do the same work in Python without an orchestrator: in one process, and with a process for each task."""
    for isolation, work in ((chains.IN_PROCESS, chains.in_process), (chains.PER_TASK, chains.in_processes)):
        asked = [("tasks", size, [Chain("wide", size, QUICK)]) for size in sizes.tasks]
        for what, count, parts in [*asked, ("runs", sizes.runs, [SHORT] * sizes.runs)]:
            began = time.perf_counter()
            for each in parts:
                work(each)
            took = round(time.perf_counter() - began, 6)
            key = {"orchestrator": "python", "isolation": isolation, "what": what, what: count}
            yield {**key, "state": "ended", "run_s": took, "ended": count}


def rows(at: Settings, chosen: Sequence[Orchestrator], sizes: Sizes) -> Iterator[Row]:
    """Yield a row for each measurement: those of the rounds first."""
    found, stopped = lines(at, chosen), Stopped()
    for each in chosen:
        # The first start makes the databases, and is not counted.
        with Lab(edits.copied(at)) as lab:
            lab.start([each])
    for number in range(1, sizes.rounds + 1):
        for row in zero_lines(sizes) if number == 1 else ():
            yield {"round": number, **row}
        for line in found:
            for row in turn(at, line, sizes, stopped):
                yield {"round": number, **line.key, **row}
    for line in found:
        for row in once(line, sizes, stopped):
            yield {"round": 1, **line.key, **row}


def numbers(text: str) -> list[int]:
    """Return the numbers of an option, in order."""
    return sorted({int(each) for each in text.split(",")})


def main(argv: list[str] | None = None) -> int:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(prog="benchmarks.orchestrators.curves", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1,10,100,1000", help="numbers of tasks of a run, comma separated")
    parser.add_argument("--wide", type=int, default=400, help="one more of them")
    parser.add_argument("--runs", type=int, default=200, help="how many runs are started at once")
    parser.add_argument("--history", default="1,100,500", help="numbers of runs in the history, comma separated")
    parser.add_argument("--samples", type=int, default=3, help="trivial runs and lists with each of these")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--deadline-s", type=float, default=45, help="how long each measurement may take")
    parser.add_argument("--on", default="all", help="orchestrators, comma separated, or all")
    measure.folder_option(parser)
    asked = parser.parse_args(argv)
    sizes = Sizes(
        numbers(f"{asked.sizes},{asked.wide}"), asked.runs, numbers(asked.history), asked.samples, asked.rounds,
        asked.deadline_s,
    )  # fmt: skip
    found: list[dict[str, Any]] = []
    with place.state() as at:
        chosen = place.with_services(asked.on, at)
        facts = {**place.facts(at, chosen), "deadline_s": asked.deadline_s, "settings": place.settings_of(at, chosen)}
        for row in rows(at, chosen, sizes):
            print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)
            found.append(row)
    print(os.path.relpath(measure.write("curves", facts, found, asked.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
