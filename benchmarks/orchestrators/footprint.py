"""What each orchestrator costs before it runs anything: to install, to import, to start, to idle, to stop.

    python -m benchmarks.orchestrators.footprint [--rounds N] [--imports N] [--idle-s S] [--on NAMES]

One row for each measurement, by `what`:

    install   the environment that its pins make: ``mb`` on disk, and how many ``distributions``
    import    what every pipeline file of it imports, in a new interpreter whose modules are compiled: ``wall_s``,
              ``cpu_s``, and the ``modules`` that are then loaded
    start     its services, until they take work; metadata exists, and PostgreSQL runs: ``wall_s``, ``cpu_s``
    stop      the end of its services and of the embedded PostgreSQL
    idle      its services for ``--idle-s`` seconds, once: ``peak_mb``, ``cpu_s`` with PostgreSQL, and both by role
    idle as shipped    the same, with the orchestrator's own defaults for all that its adapter changes for speed

CPU seconds of ``import`` are the interpreter's, and those of ``start`` and ``stop`` the machine's, PostgreSQL included.
The services of all orchestrators idle side by side, each with a PostgreSQL of its own, and their processor time is that
of their process trees: together they use about one core. They idle first: that start makes the databases, so it is none
of those that are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from benchmarks.orchestrators import place
from benchmarks.orchestrators.role_meters import CpuByRole, MemoryByRole, cpu_key
from benchmarks.orchestrators.roles import LAB, Roles
from benchmarks.orchestrators.watch import Memory, measured
from core.lab.protocol.tuning import ALL, VARIABLE
from core.lab.registry import Orchestrator, select
from core.lab.session import Lab
from core.settings import Settings

IDLE, IDLE_AS_SHIPPED = "idle", "idle as shipped"
"""What the rows of idle services are called."""

IMPORTS = {
    "airflow": "from airflow.sdk import dag, task",
    "dagster": "import dagster",
    "prefect": "from prefect import flow, task",
}
"""What a pipeline file begins with."""

TIMED = """
import json, resource, sys, time
began = time.perf_counter()
{statement}
took = time.perf_counter() - began
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps(dict(wall_s=round(took, 3), cpu_s=round(used.ru_utime + used.ru_stime, 3), modules=len(sys.modules))))
"""
"""A program that imports, and says what that took; its CPU seconds include the start of the interpreter."""

COUNT = "from importlib.metadata import distributions; print(len(list(distributions())))"


def installed(python: Path) -> Row:
    """Return the size of an interpreter's environment on disk, and the number of its distributions."""
    folder = python.parent.parent
    size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    return {"mb": round(size / 2**20, 1), "distributions": int(_output(python, COUNT))}


def imported(python: Path, statement: str) -> Row:
    """Return what an import costs in a new interpreter."""
    row: Row = json.loads(_output(python, TIMED.format(statement=statement)).splitlines()[-1])
    return row


def _output(python: Path, code: str) -> str:
    """Return what a program prints; raise `BenchmarkError` with its last line when it fails."""
    done = subprocess.run([str(python), "-W", "ignore", "-c", code], capture_output=True, text=True)
    if done.returncode:
        raise measure.BenchmarkError(f"{python}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def without_services(orchestrator: Orchestrator, imports: int) -> Iterator[Row]:
    """Measure the environment, and the import so many times after one that compiles and is not counted."""
    yield {"what": "install", **installed(orchestrator.python)}
    statement = IMPORTS[orchestrator.name]
    imported(orchestrator.python, statement)
    for number in range(1, imports + 1):
        yield {"what": "import", "round": number, **imported(orchestrator.python, statement)}


def services(at: Settings, orchestrator: Orchestrator) -> Iterator[Row]:
    """Start the services, and end them."""
    with Lab(at) as lab:
        with measured(Memory(at.home / orchestrator.name)) as row:
            lab.start([orchestrator])
        yield {"what": "start", **row}
        began, cpu_s = time.perf_counter(), measure.machine_cpu_s()
    ended = {"wall_s": round(time.perf_counter() - began, 2), "cpu_s": round(measure.machine_cpu_s() - cpu_s, 2)}
    yield {"what": "stop", **ended}


def idle(chosen: Sequence[Orchestrator], states: Mapping[str, Settings], idle_s: float) -> Iterator[Row]:
    """Let the services of all orchestrators idle side by side: tuned in these state folders, as shipped in others."""
    with ExitStack() as stack:
        meters: list[tuple[Row, MemoryByRole, CpuByRole]] = []
        for each, what in product(chosen, (IDLE, IDLE_AS_SHIPPED)):
            at = states[each.name]
            if what == IDLE_AS_SHIPPED:
                at = place.passing_on(stack.enter_context(place.state()), {VARIABLE: ALL})
            lab = stack.enter_context(Lab(at))
            lab.start([each])
            roles = Roles.of(lab, each, at)
            meters.append(({"orchestrator": each.name, "what": what}, MemoryByRole(roles), CpuByRole(roles)))
        for _, memory, cpu in meters:
            memory.start()
            cpu.begin()
        time.sleep(idle_s)
        for row, memory, cpu in meters:
            used = {key: seconds for key, seconds in cpu.end().items() if key != cpu_key(LAB)}
            yield {**row, "wall_s": idle_s, "cpu_s": round(sum(used.values()), 2), **used, **memory.stop()}


def rows(chosen: Sequence[Orchestrator], rounds: int, imports: int, idle_s: float) -> Iterator[Row]:
    """Yield every measurement, all orchestrators of a round before the next round."""
    for each in chosen:
        for row in without_services(each, imports):
            yield {"orchestrator": each.name, **row}
    with ExitStack() as stack:
        states = {each.name: stack.enter_context(place.state()) for each in chosen}
        yield from idle(chosen, states, idle_s)
        for number in range(1, rounds + 1):
            for each in chosen:
                for row in services(states[each.name], each):
                    yield {"orchestrator": each.name, "round": number, **row}


def main(argv: list[str] | None = None) -> int:
    """Measure, and write the results."""
    parser = argparse.ArgumentParser(prog="benchmarks.orchestrators.footprint", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--imports", type=int, default=10, help="how often each import is measured")
    parser.add_argument("--idle-s", type=float, default=300, help="how long the idle services are watched, once")
    parser.add_argument("--on", default="all", help="orchestrators, comma separated, or all")
    measure.folder_option(parser)
    asked = parser.parse_args(argv)
    found: list[dict[str, Any]] = []
    with place.state() as at:
        chosen = [each for each in select(asked.on, at) if each.name in IMPORTS]
        facts = {**place.facts(at, chosen), "idle_s": asked.idle_s}
    for row in rows(chosen, asked.rounds, asked.imports, asked.idle_s):
        shown = "  ".join(f"{key} {row[key]}" for key in ("mb", "wall_s", "cpu_s", "peak_mb") if key in row)
        print(f"{row['orchestrator']:<9} {row['what']:<8} {shown}", flush=True)
        found.append(row)
    print(os.path.relpath(measure.write("footprint", facts, found, asked.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
