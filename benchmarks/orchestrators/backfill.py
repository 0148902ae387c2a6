"""What a backfill costs on each orchestrator and on the baseline, through the runner protocol.

    python -m benchmarks.orchestrators.backfill [--months MONTHS] [--rows N] [--rounds N] [--idle-s S]

Each orchestrator has four turns in a round, in a lab session in which no other orchestrator's services run:

    start      the services come up; PostgreSQL runs, and only in the first round are there databases to make
    idle       the services run, and nothing is asked of them
    load       MONTHS are new: extract, load, transform, check
    unchanged  the same months again, which finds that nothing is to be done: nearly the orchestrator's own cost

Settings are the adapters' own, so these are figures of tuned orchestrators. CPU seconds are the machine's, whatever
spends them: the orchestrator, PostgreSQL, dbt and the lab. Memory is that of the orchestrator's processes alone.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from benchmarks.orchestrators import place
from core.extract import sample
from core.lab import processes
from core.lab.protocol import BackfillRequest
from core.lab.registry import Orchestrator, select
from core.lab.session import Lab
from core.month import parse_months
from core.settings import Settings

SAMPLE_S = 0.5
"""The pause between two looks at the memory. A look takes 20 ms, so this costs 2% of both cores at most."""


class Memory(threading.Thread):
    """Watches the memory of the processes that run on behalf of a folder, and keeps the largest sum, in MB.

    Each process counts with its proportional set size (PSS), which splits a shared page among those that share it: the
    sum of resident sizes counts Airflow's forks several times.
    """

    def __init__(self, owner: Path) -> None:
        super().__init__(daemon=True)
        self.peak_mb, self._owner, self._done = 0.0, owner, threading.Event()

    def run(self) -> None:
        """Look until `stop`."""
        while not self._done.wait(SAMPLE_S):
            self.peak_mb = max(self.peak_mb, sum(map(_pss_mb, processes.members(self._owner))))

    def stop(self) -> float:
        """Stop watching; return the peak."""
        self._done.set()
        self.join()
        return round(self.peak_mb, 1)


def _pss_mb(process: psutil.Process) -> float:
    with suppress(psutil.Error, OSError):
        return float(process.memory_full_info().pss) / 2**20
    return 0.0


@contextmanager
def measured(owner: Path) -> Iterator[Row]:
    """Measure the block. The yielded row has ``wall_s``, ``cpu_s`` and ``peak_mb`` once the block has ended."""
    row: Row = {}
    memory = Memory(owner)
    memory.start()
    cpu_s, wall_s = measure.machine_cpu_s(), time.perf_counter()
    try:
        yield row
    finally:
        row["wall_s"] = round(time.perf_counter() - wall_s, 2)
        row["cpu_s"] = round(measure.machine_cpu_s() - cpu_s, 2)
        row["peak_mb"] = memory.stop()


def turns(at: Settings, orchestrator: Orchestrator, request: BackfillRequest, idle_s: float) -> Iterator[Row]:
    """Take the four turns of one orchestrator, in a lab session of its own."""
    folder = at.home / orchestrator.name
    with Lab(at) as lab:
        with measured(folder) as row:
            running = lab.start([orchestrator])[orchestrator.name]
        yield {"turn": "start", **row}
        if running.processes:
            with measured(folder) as row:
                time.sleep(idle_s)
            yield {"turn": "idle", **row}
        for turn, state in (("load", "success"), ("unchanged", "unchanged")):
            with measured(folder) as row:
                result = lab.backfill(orchestrator, request)
            odd = {each.month: each.error or each.state for each in result.months if each.state != state}
            if odd:
                raise measure.BenchmarkError(f"{orchestrator.name}: months that did not end as {state}: {odd}")
            yield {"turn": turn, **row, "runner_s": result.seconds}


def rows(at: Settings, chosen: Iterable[Orchestrator], months: list[str], source: str, rounds: int, idle_s: float
) -> Iterator[Row]:  # fmt: skip
    """Yield a row for each turn, all orchestrators of a round before the next round."""
    for number in range(1, rounds + 1):
        for each in chosen:
            # A schema for each round: its months are new.
            request = BackfillRequest(months, source, f"{each.name}_{number}")
            for row in turns(at, each, request, idle_s):
                yield {"orchestrator": each.name, "round": number, "months": len(months), **row}


def main(argv: list[str] | None = None) -> int:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(prog="benchmarks.orchestrators.backfill", description=__doc__.splitlines()[0])
    parser.add_argument("--months", default="2024-01..2024-12")
    parser.add_argument("--rows", type=int, default=60_000, help="rows of a month")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle-s", type=float, default=20, help="how long the idle services are watched")
    parser.add_argument("--on", default="all", help="orchestrators, comma separated, or all")
    measure.folder_option(parser)
    asked = parser.parse_args(argv)
    months, found = parse_months(asked.months), []
    with place.state() as at:
        source = at.home.parent / "published"
        sample.ensure(source, months, rows=asked.rows)
        chosen = select(asked.on, at)
        facts = {**place.facts(at, chosen), "rows_a_month": asked.rows, "idle_s": asked.idle_s}
        for row in rows(at, chosen, list(map(str, months)), str(source), asked.rounds, asked.idle_s):
            took = f"{row['wall_s']:7.2f} s"
            print(f"{row['orchestrator']:<9} round {row['round']}  {row['turn']:<10}{took}", flush=True)
            found.append(row)
    print(os.path.relpath(measure.write("backfill", facts, found, asked.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
