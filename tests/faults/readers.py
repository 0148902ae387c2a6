"""Readers beside two orchestrators (``make readers``).

    python -m tests.faults.readers [--on NAME,NAME] [--minutes 5]

Two orchestrators backfill the same months into the same schema again and again, while the publisher replaces months and
renames zones, so that builds of some months and of all months alternate. All the time readers look at the marts:

    one statement    READ COMMITTED: the rows of fct_trips, the trips of daily_borough_stats and both records agree one
    snapshot     REPEATABLE READ, begun before a publication and read after it: every month of both marts has the digest
                     that `mart_ledger` records for it in that snapshot, and no month is missing
    one COPY         READ COMMITTED: ``COPY (SELECT ...)`` of fct_trips is never empty

Exit code 1 when a reader saw an empty, partial or contradicting mart, or a backfill failed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from core.extract import sample
from core.lab.protocol import BackfillRequest
from core.lab.registry import Orchestrator, select
from core.lab.session import Lab
from core.month import parse_months
from core.settings import settings
from core.transform import marts
from core.transform.marts import MARTS

Connection = psycopg.Connection[tuple[Any, ...]]

MONTHS = parse_months("2024-01..2024-03")
VERSIONS = 3
SCHEMA = "readers"
PAUSE_S = 0.02
"""Between two looks: without it the readers would take the cores from the orchestrators."""
WAIT_S = 20.0
"""How long a snapshot waits for a publication before it looks anyway."""


@dataclass
class Seen:
    """What the readers saw: the number of looks of each kind, the snapshots that outlived a publication, and errors."""

    looks: Counter[str] = field(default_factory=Counter)
    outlived: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{number} of {kind}" for kind, number in sorted(self.looks.items()))
        return f"{kinds}; {self.outlived} snapshots outlived a publication; {len(self.wrong)} wrong"


@contextmanager
def watching(dsn: str, schema: str) -> Iterator[Seen]:
    """Let three readers look at the marts of `schema`, which exist already, until the block ends."""
    seen, over = Seen(), threading.Event()
    looks: tuple[Callable[[Connection, str], Iterator[str]], ...] = (one_statement, one_copy)

    def again(look: Callable[[Connection, str], Iterator[str]]) -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not over.is_set():
                seen.wrong += [f"{look.__name__}: {line}" for line in look(connection, schema)]
                seen.looks[look.__name__] += 1
                over.wait(PAUSE_S)

    def snapshots() -> None:
        while not over.is_set():
            wrong, outlived = one_snapshot(dsn, schema, over)
            seen.wrong += [f"one_snapshot: {line}" for line in wrong]
            seen.looks["one_snapshot"] += 1
            seen.outlived += outlived

    with ThreadPoolExecutor(1 + len(looks)) as pool:
        readers = [pool.submit(snapshots), *(pool.submit(again, look) for look in looks)]
        try:
            yield seen
        finally:
            over.set()
    for reader in readers:
        reader.result()


def one_statement(connection: Connection, schema: str) -> Iterator[str]:
    """Compare both marts and both records in one statement of READ COMMITTED."""
    query = f"""
        SELECT (SELECT count(*) FROM {schema}.fct_trips),
               (SELECT sum(trips) FROM {schema}.daily_borough_stats),
               (SELECT sum(row_count) FROM {schema}.mart_ledger WHERE model = 'fct_trips'),
               (SELECT count(DISTINCT source_month) FROM {schema}.fct_trips),
               (SELECT count(*) FROM {schema}.mart_ledger WHERE model = 'fct_trips')
    """
    ((trips, by_date, recorded, months, recorded_months),) = connection.execute(query.encode()).fetchall()
    if not trips or not trips == by_date == recorded or not months == recorded_months == len(MONTHS):
        yield f"{trips} trips, {by_date} by date, {recorded} recorded; {months} months, {recorded_months} recorded"


def one_copy(connection: Connection, schema: str) -> Iterator[str]:
    """COPY a query, which takes its snapshot before it has its locks."""
    with connection.cursor().copy(f"COPY (SELECT 1 FROM {schema}.fct_trips) TO STDOUT".encode()) as rows:
        if not sum(1 for _ in rows):
            yield "no rows"


def one_snapshot(dsn: str, schema: str, over: threading.Event) -> tuple[list[str], int]:
    """Take a snapshot, wait for a publication, then look; return what is wrong, and whether there was a publication."""
    with psycopg.connect(dsn) as reader, psycopg.connect(dsn, autocommit=True) as other:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        before = built_at(reader, schema)
        end = time.monotonic() + WAIT_S
        while (after := built_at(other, schema)) == before and not over.is_set() and time.monotonic() < end:
            over.wait(0.05)
        held = {
            (mart.name, month): found.hex
            for mart in MARTS
            for month, found in marts.digests(reader, schema, mart).items()
        }
        query = f"SELECT model, month, content_digest FROM {schema}.mart_ledger"
        recorded = {(model, month): found for model, month, found in reader.execute(query.encode())}
    wrong = sorted(f"{model} {month:%Y-%m}" for (model, month), _ in held.items() ^ recorded.items())
    if len([model for model, _ in held if model == "fct_trips"]) != len(MONTHS):
        wrong.append("a month of fct_trips is missing")
    return wrong, int(after != before)


def built_at(connection: Connection, schema: str) -> dt.datetime:
    """Return when a mart was last published."""
    return connection.execute(f"SELECT max(built_at) FROM {schema}.mart_ledger".encode()).fetchall()[0][0]  # type: ignore[no-any-return]


class Publisher:
    """A folder with versions of three months and of the lookup, one of each published."""

    def __init__(self, folder: Path, rows: int, seed: int) -> None:
        self.folder, self._rows, self._draw = folder, rows, random.Random(seed)
        for number in range(VERSIONS):
            sample.ensure(folder / f"version-{number}", MONTHS, seed=number, rows=rows + 7 * number)
        self.published = folder / "published"
        self.published.mkdir()
        self.zones = (folder / "version-0" / sample.ZONES).read_text()
        self.change()

    def change(self, *, zones: bool = False) -> None:
        """Publish a version of each month, drawn at random; with `zones`, also another spelling of a borough."""
        for month in MONTHS:
            version = self.folder / f"version-{self._draw.randrange(VERSIONS)}"
            self._put(sample.file_name(month), (version / sample.file_name(month)).read_bytes())
        borough = f"Queens {self._draw.randrange(1000)}" if zones else "Queens"
        self._put(sample.ZONES, self.zones.replace("Queens", borough).encode())

    def _put(self, name: str, content: bytes) -> None:
        half = self.published / f".{name}"
        half.write_bytes(content)
        half.replace(self.published / name)


def run(
    lab: Lab,
    orchestrators: list[Orchestrator],
    publisher: Publisher,
    schema: str,
    seconds: float,
    say: Callable[[str], None],
) -> Seen:
    """Let `orchestrators` backfill side by side, round after round, for `seconds`; return what the readers saw."""

    def backfill(orchestrator: Orchestrator, force: bool) -> None:
        request = BackfillRequest([str(month) for month in MONTHS], str(publisher.published), schema, force=force)
        result = lab.backfill(orchestrator, request)
        errors = [
            f"{orchestrator.name} {month.month}: {month.error}" for month in result.months if month.state == "failed"
        ]
        # Either may have fetched a file that the publisher has replaced since: then the other's version is the newer
        # one.
        failed.extend(error for error in errors if "another attempt" not in error)

    failed: list[str] = []
    backfill(orchestrators[0], force=False)
    end = time.monotonic() + seconds
    with watching(lab.dsn, schema) as seen, ThreadPoolExecutor(len(orchestrators)) as pool:
        for number in itertools.count(1):
            publisher.change(zones=number % 3 == 0)
            for done in [pool.submit(backfill, each, number % 2 == 0) for each in orchestrators]:
                done.result()
            say(f"round {number}: {seen}")
            if time.monotonic() > end or failed:
                break
    seen.wrong += failed
    return seen


def main() -> int:
    """Run, and print what was seen; return 1 when a reader saw what it must not see."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--on", default="airflow,prefect", help="two orchestrators, comma separated")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--rows", type=int, default=2000, help="rows of a month")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="triptych-readers-") as work:
        state = replace(settings(), home=Path(work) / "state")
        orchestrators = select(asked.on, state)
        with Lab(state) as lab:
            publisher = Publisher(Path(work), asked.rows, asked.seed)
            seen = run(lab, orchestrators, publisher, SCHEMA, 60 * asked.minutes, lambda line: print(line, flush=True))
        from core.lab.postgres import Postgres

        Postgres(state.home / "postgres", state.pg_bin).wipe()
    print("\n".join([*seen.wrong[:20], f"{asked.on}, {asked.minutes:g} minutes: {seen}"]))
    return 1 if seen.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
