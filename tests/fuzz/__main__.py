"""Load hostile files until something breaks.

    python -m tests.fuzz [--cases 20000] [--seed N] [--case N | --known] [--minutes M] [--real FOLDER]
        [--findings FOLDER] [--server-every N]

A case depends on its seed and its number alone (and on the version of pyarrow that writes the good files). Every Nth
file (every twentieth) is loaded into the server that TRIPTYCH_DSN names, if it names one. The exit code is 1 when there
was a finding.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from core.settings import settings
from tests.fuzz import csv_files, harness, known, parquet_files
from tests.fuzz.harness import Outcome
from tests.fuzz.parquet_files import Case

PROGRESS_S = 10.0


def case(seed: int, number: int) -> Case:
    """Return the case of that number."""
    rng = random.Random(f"{seed}/{number}")
    return csv_files.make(rng) if number % 6 == 5 else parquet_files.make(rng)


def main(argv: list[str] | None = None) -> int:
    """Run the cases; return 1 when there was a finding."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description="Load hostile files until something breaks.")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="this case only")
    parser.add_argument("--known", action="store_true", help="the files of tests.fuzz.known instead")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so long, with the summary")
    parser.add_argument("--real", type=Path, help="a folder of real months, which are mutated as well")
    parser.add_argument(
        "--findings", type=Path, default=settings().home / "findings", help="where files with a finding are kept"
    )
    parser.add_argument("--server-every", type=int, default=20, help="load every Nth file into TRIPTYCH_DSN")
    args = parser.parse_args(argv)
    every = args.server_every if settings().dsn else 0
    if args.real:
        parquet_files.real_files(args.real)
    numbers = range(args.cases) if args.case is None else range(args.case, args.case + 1)
    make: Callable[[int], Case] = partial(case, args.seed)
    if args.known:
        numbers, make = range(len(known.CASES) + len(known.LOOKUPS)), known.case
    with tempfile.TemporaryDirectory() as home:
        os.environ["TRIPTYCH_HOME"] = home
        settings.cache_clear()
        until = time.monotonic() + 60 * args.minutes
        found = harness.run(make, numbers, every)
        again = f"--seed {args.seed}" + (f" --real {args.real}" if args.real else "")
        # The child must end before its folder is deleted.
        with contextlib.closing(found):
            outcomes = _watched(found, make, len(numbers), until, args.findings, again)
    _summary(outcomes)
    return int(any(outcome.finding for outcome in outcomes))


def _watched(
    found: Iterable[tuple[int, Outcome]],
    make: Callable[[int], Case],
    count: int,
    until: float,
    findings: Path,
    again: str,
) -> list[Outcome]:
    """Show the progress, keep the files with a finding in `findings`, and say how to load them again."""
    outcomes: list[Outcome] = []
    shown = time.monotonic()
    for number, outcome in found:
        outcomes.append(outcome)
        if outcome.finding:
            made = make(number)
            path = findings / f"{number}-{made.kind.replace(' ', '-')}" / made.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made.content)
            print(f"{made.kind}: {outcome.finding}", flush=True)
            print(f"  {path}; again: python -m tests.fuzz {again} --case {number}", flush=True)
        if time.monotonic() > until:
            break
        if time.monotonic() - shown > PROGRESS_S:
            shown = time.monotonic()
            print(f"{len(outcomes):,} of {count:,}", file=sys.stderr, flush=True)
    return outcomes


def _summary(outcomes: list[Outcome]) -> None:
    """Print a line for each kind: the outcomes of its cases, and the worst memory and time."""
    kinds: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        kinds[outcome.kind].append(outcome)
    names = sorted({outcome.outcome for outcome in outcomes}, key=lambda name: (name != "loaded", name))
    print(
        "kind".ljust(18),
        "cases".rjust(7),
        *(name.rjust(max(8, len(name))) for name in names),
        "  MB",
        "  CPU s",
        "findings",
    )
    for kind, found in [*sorted(kinds.items()), ("all", outcomes)]:
        count = Counter(outcome.outcome for outcome in found)
        worst = f"{max(o.memory_mb for o in found):5.0f} {max(o.cpu_s for o in found):6.2f}"
        cells = (f"{count[name]:>{max(8, len(name))},}" for name in names)
        print(kind.ljust(18), f"{len(found):>7,}", *cells, worst, sum(bool(o.finding) for o in found))


if __name__ == "__main__":
    sys.exit(main())
