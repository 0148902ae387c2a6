"""Drills on the orchestrators' own components (``make drills``).

    python -m tests.faults.drills [--on NAMES] [--settings expert|defaults|usual]
                                  [--only COMPONENT[:PHASE[:SIGNAL]],...]

`tests.faults.drills.plan` has the drills, `tests.faults.drills.row` says what is measured. Each is a backfill of six
months in a schema of its own, in which the baseline has loaded the month before; drills of the same orchestrator and
settings share its services. Results are written after each drill, and a drill whose row is there already, of the same
version of the orchestrator, is not repeated without ``--again``: an interrupted run goes on where it was.

Exit code 1 when tables differ, a reader saw part of a month, or a drill could not be carried out. A run that is stuck
is a finding, and no failure.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil
import psycopg

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from core.errors import TriptychError, UsageError
from core.extract import sample
from core.lab.protocol.tuning import GUARDS, VARIABLE
from core.lab.registry import orchestrators
from core.month import parse_months
from core.settings import settings
from tests.contract.bench import ROWS, Bench, opened, orchestrator_names
from tests.faults.drills import contrast
from tests.faults.drills.drill import DrillError, Ground, carry_out
from tests.faults.drills.plan import DEFAULTS, KINDS, OF_USUAL, SERVICES, USUAL, Drill, chosen, every
from tests.faults.drills.results import Results
from tests.faults.drills.row import name_of

NAME = "drills"

MONTHS = tuple(map(str, parse_months("2024-01..2024-07")))
"""The first is loaded by the baseline, the others are backfilled."""

VARIABLES = {kind: {"TRIPTYCH_LOCK_WAIT_S": "900", VARIABLE: GUARDS if kind == DEFAULTS else ""} for kind in KINDS}
"""What the orchestrators' processes get, by the kind of settings. A step that is held waits for a lock, as shipped for
longer than the 300 s after which it would give up."""

WITHIN_MINUTES = 100.0
"""No drill begins later than this after the first one. The others are run by the next call."""


def recorded(folder: Path) -> Results:
    """Return the rows so far."""
    return Results(NAME, folder, name_of, [drill.name for drill in every(sorted(SERVICES))])


def describe(results: Results, bench: Bench, names: Sequence[str], deadline_s: float) -> None:
    """Take the facts of this run; what is known of orchestrators and settings that it leaves out stays."""
    guards = {each["name"]: each for each in results.about.get("settings", ())}
    guards |= {guard.name: guard.to_json() for name in names for guard in bench.description(name).guards}
    kept = {"undisturbed": results.about["undisturbed"]} if "undisturbed" in results.about else {}
    results.describe(bench, names, **kept, settings=list(guards.values()), deadline_s=deadline_s)


@contextmanager
def ground(kind: str, count: int, deadline_s: float) -> Iterator[Ground]:
    """Open a bench with one kind of settings, and prepare it for backfills of `count` months."""
    home = settings().home
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="drills-", dir=home) as folder:
        months = MONTHS[: 1 + count]
        source = Path(folder) / "files"
        sample.ensure(source, parse_months(f"{months[0]}..{months[-1]}"), rows=ROWS)
        pipelines = contrast.SUBJECTS if kind == USUAL else ""
        with opened(Path(folder), pipelines, VARIABLES[kind]) as bench:
            found = Ground(bench, source, months[0], months[1:], deadline_s)
            if kind != USUAL:
                found.prepare()
            yield found


def one(at: Ground, drill: Drill) -> Row:
    """Carry out a drill; raise `DrillError` when that is not possible, with its services ended."""
    try:
        return contrast.carry_out(at, drill) if drill.settings == USUAL else carry_out(at, drill)
    except (TriptychError, psycopg.Error, psutil.Error, AssertionError) as error:
        at.bench.end(drill.orchestrator)
        raise DrillError(f"{type(error).__name__}: {error}") from error
    except DrillError:
        at.bench.end(drill.orchestrator)
        raise


def line(row: Row) -> str:
    """Return what a row says, in one line."""
    seconds = {key: "-" if row[key] is None else f"{row[key]:.1f} s" for key in ("noticed_s", "recovered_s")}
    marks = [
        f"noticed {seconds['noticed_s']}", f"recovered {seconds['recovered_s']}", f"{row['attempts'] or '?'} attempts",
        *([f"lost {row['lost_rows']} rows, {row['extra_rows']} too many"] if row["settings"] == USUAL else []),
        *(["an orphan wrote"] if row["orphan_wrote"] else []), *([f"{row['stuck']} stuck"] if row["stuck"] else []),
        *([row["needed_hand"]] if row["needed_hand"] else []),
        "identical" if row["tables_identical"] else "DIFFERENT",
        *([f"PARTIAL READS: {row['partial_reads']}"] if row["partial_reads"] else []),
    ]  # fmt: skip
    return f"{', '.join(marks)} ({row['seconds']:.0f} s)"


def is_wrong(row: Row) -> bool:
    """Return whether the promise was broken. The usual pattern promises nothing."""
    return row["settings"] != USUAL and (not row["tables_identical"] or row["partial_reads"] > 0)


def main(argv: list[str] | None = None) -> int:
    """Carry out the drills that are due, and write their rows."""
    parser = argparse.ArgumentParser(prog="tests.faults.drills", description=__doc__.splitlines()[0])
    parser.add_argument("--on", default="all", help="orchestrators, comma separated, or all")
    parser.add_argument(
        "--only", default="", help="components, each with a phase and a signal or without: step:load,database"
    )
    parser.add_argument("--settings", choices=KINDS, help="one kind of settings (default: all)")
    parser.add_argument("--months", type=int, default=len(MONTHS) - 1, choices=range(2, len(MONTHS)))
    parser.add_argument("--deadline-s", type=float, default=75.0, help="how long a backfill may take from the signal")
    parser.add_argument("--within-minutes", type=float, default=WITHIN_MINUTES, help="begin no drill later than that")
    parser.add_argument("--again", action="store_true", help="repeat the drills that have a row")
    measure.folder_option(parser)
    asked = parser.parse_args(argv)
    names = orchestrator_names() if asked.on == "all" else asked.on.split(",")
    try:
        drills = chosen(every(names, [asked.settings] if asked.settings else KINDS), asked.only)
    except UsageError as error:
        parser.error(str(error))
    results, failed = recorded(asked.folder), 0
    end = time.monotonic() + 60 * asked.within_minutes
    for kind in dict.fromkeys(drill.settings for drill in drills):
        with ground(kind, asked.months, asked.deadline_s) as at:
            describe(results, at.bench, names, asked.deadline_s)
            if kind == USUAL and (asked.again or "undisturbed" not in results.about):
                # What the usual pattern loses without any drill
                usual = orchestrators(at.bench.lab.settings)[OF_USUAL]
                results.about["undisturbed"] = asdict(contrast.undisturbed(at, usual))
            failed += part(at, [drill for drill in drills if drill.settings == kind], results, asked.again, end)
    print(os.path.relpath(asked.folder / f"{NAME}.json"))
    return int(failed > 0)


def part(at: Ground, drills: Sequence[Drill], results: Results, again: bool, end: float) -> int:
    """Carry out the drills with one kind of settings, and add their rows; return how many went wrong."""
    failed, orchestrator = 0, ""
    for number, drill in enumerate(drills, 1):
        if results.has(drill.name, drill.orchestrator) and not again:
            continue
        if time.monotonic() > end:
            print(f"{len(drills) - number + 1} drills at most are left for the next call", flush=True)
            break
        if orchestrator not in ("", drill.orchestrator):
            # Idle services slow those of the next one down.
            at.bench.end(orchestrator)
        orchestrator = drill.orchestrator
        print(f"{number}/{len(drills)} {drill.name}: ", end="", flush=True)
        load_average = round(os.getloadavg()[0], 2)
        try:
            row = one(at, drill)
        except DrillError as error:
            failed += 1
            print(f"NOT CARRIED OUT: {error}", flush=True)
            continue
        results.add({**row, "load_average": load_average})
        failed += is_wrong(row)
        print(line(row), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
