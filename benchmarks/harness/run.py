"""Run benchmarks and fault injections one after the other, and render their pages: what `make bench` and its kin call.

    python -m benchmarks.harness.run load growth [--quick]

Each runs in a process of its own. If one fails, the others still run; the failure is reported at the end and in the
exit code. With ``--quick`` each takes seconds, and its toy figures and pages go to the state folder, not to the
repository.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks.harness import report
from benchmarks.harness.signals import exits_on
from core.settings import ROOT, settings


@dataclass(frozen=True)
class Program:
    """A module that writes one file of results, and the arguments with which that takes seconds."""

    module: str
    quick: str


PROGRAMS = {
    "load": Program("benchmarks.load.race", "--rows 2000 --rounds 1"),
    "digest": Program("benchmarks.digest.race", "--rows 2000 --rounds 1"),
    "growth": Program("benchmarks.strategies.growth", "--rows 2000 --months 1,2 --rounds 1"),
    "claims": Program("benchmarks.strategies.claims", "--delays 0 --rounds 1"),
    "folklore": Program("benchmarks.folklore.__main__", ""),
    "transform": Program("benchmarks.transform.times", "--rows 2000 --loaded 2,3 --rounds 1"),
    "year": Program("benchmarks.transform.year", "--rows 2000 --months 2"),
    "backfill": Program("benchmarks.orchestrators.backfill", "--months 2024-01..2024-02 --rows 2000 --rounds 1"),
    "floor": Program("benchmarks.orchestrators.floor", "--months 1 --rounds 1"),
    "chains": Program("benchmarks.orchestrators.chains", "--rounds 1 --samples 1"),
    "curves": Program(
        "benchmarks.orchestrators.curves",
        "--sizes 1,3 --wide 4 --runs 2 --history 2 --samples 1 --rounds 1 --deadline-s 60",
    ),
    "footprint": Program("benchmarks.orchestrators.footprint", "--rounds 1 --imports 1 --idle-s 2"),
    "soak": Program("tests.faults.soak", "--kills 10 --contrast 10"),
    "drills": Program("tests.faults.drills.__main__", "--settings expert --only step:load --months 2 --again"),
    "database": Program("tests.faults.database.__main__", "--only failover --months 2 --again"),
    "pairs": Program("tests.faults.drills.pairs", "--on airflow --only nothing:backfill"),
    "kill_points": Program("tests.faults.kill_points", "--step load --sample 1 --only zones"),
}
"""Every program by the name of its results. Without arguments, each produces what is published."""


def main(argv: list[str] | None = None) -> int:
    """Run the named programs; return 1 when one of them failed, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="benchmarks.harness.run", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=PROGRAMS, metavar="NAME", help=", ".join(PROGRAMS))
    parser.add_argument("--quick", action="store_true", help="a trial of seconds, published nowhere")
    asked = parser.parse_args(argv)
    elsewhere = ["--folder", str(settings().home / "benchmarks")] if asked.quick else []
    failed = []
    for number, name in enumerate(asked.names, 1):
        print(f"--- {name} ({number} of {len(asked.names)})", flush=True)
        program, began = PROGRAMS[name], time.monotonic()
        words = [*elsewhere, *(program.quick.split() if asked.quick else [])]
        try:
            code = call([sys.executable, "-m", program.module, *words])
        except KeyboardInterrupt:
            return 130
        ended = f"FAILED, exit code {code}" if code else "done"
        print(f"--- {name}: {ended}, {time.monotonic() - began:.0f} s", flush=True)
        failed += [name] if code else []
    report.main(elsewhere)
    if failed:
        print(f"benchmarks: {', '.join(failed)} failed: see above; the others' results are written", file=sys.stderr)
    return int(bool(failed))


def call(words: list[str]) -> int:
    """Run a program and return its exit code. When we are told to end, it gets the time to stop its server."""
    with exits_on(signal.SIGTERM), subprocess.Popen(words, cwd=ROOT) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            # The terminal sends Ctrl-C to both of us.
            child.wait()
            raise
        except SystemExit:
            child.terminate()
            child.wait()
            raise


if __name__ == "__main__":
    sys.exit(main())
