"""Troubles of the database in the middle of a backfill (``make database``).

    python -m tests.faults.database [--on NAMES] [--only TROUBLES] [--again]

`tests.faults.database.plan` has the troubles. Each is a backfill of three months on the orchestrator's own services, in
a schema of its own, in which the baseline has loaded the month before; then the same command runs again. All that uses
the server knows one address of it, which is a proxy of this program. A drill whose row is there already, of the same
version of the orchestrator, is not repeated without ``--again``: an interrupted run goes on where it was.

Exit code 1 when tables differ, a reader saw part of a month, or a drill could not be carried out. A month that fails
and a run that is stuck are findings, and no failure.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from core.errors import TriptychError
from core.extract import sample
from core.lab.postgres import Postgres
from core.month import parse_months
from core.settings import settings, state_folder
from tests.contract.bench import ROWS, opened, orchestrator_names
from tests.faults.database.address import Address, at_port
from tests.faults.database.drill import Place, back, carry_out
from tests.faults.database.plan import TROUBLES
from tests.faults.drills.drill import DrillError, Ground
from tests.faults.drills.plan import SERVICES
from tests.faults.drills.results import Results

NAME = "database"

MONTHS = tuple(map(str, parse_months("2024-01..2024-04")))
"""The first is loaded by the baseline, the others are backfilled."""

VARIABLES = {"TRIPTYCH_LOCK_WAIT_S": "900"}
"""A step that is held waits for a lock, for longer than the 300 s after which it would give up."""


@contextmanager
def place(home: Path) -> Iterator[Place]:
    """Start a server that listens at a port and at a socket, and the proxy that is its address for all others.

    The socket is in Linux's abstract name space: it is no file that would be left behind.
    """
    socket = f"@triptych-{os.getpid()}"
    server = Postgres(state_folder(home) / "postgres", settings().pg_bin, {"unix_socket_directories": socket})
    try:
        dsn = server.start()
        running = server.running()
        assert running is not None, "the server that has just started does not run"
        with Address(at_port(running.port)) as address:
            yield Place(dsn, address, running.port, f"{socket}/.s.PGSQL.{running.port}")
    finally:
        server.wipe()


@contextmanager
def ground(count: int, deadline_s: float) -> Iterator[tuple[Ground, Place]]:
    """Open a bench behind a proxy, and prepare it for backfills of `count` months."""
    home = settings().home
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="database-", dir=home) as folder:
        source = Path(folder) / "files"
        months = MONTHS[: 1 + count]
        sample.ensure(source, parse_months(f"{months[0]}..{months[-1]}"), rows=ROWS)
        with place(Path(folder) / "state") as at:
            assert at.address is not None
            dsn = make_conninfo(at.dsn, port=at.address.port)
            with opened(Path(folder), variables=VARIABLES, dsn=dsn) as bench:
                found = Ground(bench, source, months[0], months[1:], deadline_s)
                found.prepare()
                yield found, at


def recorded(folder: Path) -> Results:
    """Return the rows so far."""
    order = [name_of(tool, trouble) for tool in sorted(SERVICES) for trouble in TROUBLES]
    return Results(NAME, folder, lambda row: name_of(row["tool"], row["trouble"]), order)


def name_of(tool: str, trouble: str) -> str:
    """Return the name of a drill."""
    return f"{tool} {trouble}"


def one(at: Ground, where: Place, tool: str, trouble: str) -> Row:
    """Carry out a drill; raise `DrillError` when that is not possible, with its services ended."""
    try:
        return {"load_average": round(os.getloadavg()[0], 2), **carry_out(at, where, tool, trouble)}
    except (TriptychError, psycopg.Error, psutil.Error, AssertionError) as error:
        at.bench.end(tool)
        raise DrillError(f"{type(error).__name__}: {error}") from error
    except DrillError:
        at.bench.end(tool)
        raise
    finally:
        back(where)


def line(row: Row) -> str:
    """Return what a row says, in one line."""
    seconds = {key: "-" if row[key] is None else f"{row[key]:.1f} s" for key in ("noticed_s", "recovered_s")}
    marks = [
        f"noticed {seconds['noticed_s']}", f"recovered {seconds['recovered_s']}", f"{row['attempts'] or '?'} attempts",
        *([f"{row['failed']} months failed ({row['error']})"] if row["failed"] else []),
        *([f"{row['ran_again']} months ran again"] if row["ran_again"] is not None else []),
        *([str(row["records"])] if "records" in row else []),
        *([f"{row['stuck']} stuck"] if row["stuck"] else []), *([row["needed_hand"]] if row["needed_hand"] else []),
        f"again: {row['again']}", "identical" if row["tables_identical"] else "DIFFERENT",
        *([f"PARTIAL READS: {row['saw']}"] if row["partial_reads"] else []),
    ]  # fmt: skip
    return f"{', '.join(marks)} ({row['seconds']:.0f} s)"


def main(argv: list[str] | None = None) -> int:
    """Carry out the drills that are due, and write their rows."""
    parser = argparse.ArgumentParser(prog="tests.faults.database", description=__doc__.splitlines()[0])
    parser.add_argument("--on", default="all", help="orchestrators, comma separated, or all")
    parser.add_argument("--only", default=",".join(TROUBLES), help="troubles, comma separated (default: all)")
    parser.add_argument("--months", type=int, default=len(MONTHS) - 1, choices=range(2, len(MONTHS)))
    parser.add_argument("--deadline-s", type=float, default=180.0, help="how long a command may take from then on")
    parser.add_argument("--again", action="store_true", help="repeat the drills that have a row")
    measure.folder_option(parser)
    asked = parser.parse_args(argv)
    names = orchestrator_names() if asked.on == "all" else asked.on.split(",")
    troubles = asked.only.split(",")
    if unknown := {*troubles} - {*TROUBLES}:
        parser.error(f"--only {', '.join(unknown)}: choose from {', '.join(TROUBLES)}")
    results, failed = recorded(asked.folder), 0
    with ground(asked.months, asked.deadline_s) as (at, where):
        results.describe(at.bench, names, deadline_s=asked.deadline_s)
        for name in names:
            failed += of_tool(at, where, name, troubles, results, asked.again)
            # Idle services slow those of the next one down.
            at.bench.end(name)
    print(os.path.relpath(asked.folder / f"{NAME}.json"))
    return int(failed > 0)


def of_tool(at: Ground, where: Place, name: str, troubles: Sequence[str], results: Results, again: bool) -> int:
    """Carry out the drills on one orchestrator, and add their rows; return how many went wrong."""
    failed = 0
    for trouble in troubles:
        if results.has(name_of(name, trouble), name) and not again:
            continue
        print(f"{name_of(name, trouble)}: ", end="", flush=True)
        try:
            row = one(at, where, name, trouble)
        except DrillError as error:
            failed += 1
            print(f"NOT CARRIED OUT: {error}", flush=True)
            continue
        results.add(row)
        failed += not row["tables_identical"] or row["partial_reads"] > 0
        print(line(row), flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
