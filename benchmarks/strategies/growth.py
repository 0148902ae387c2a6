"""The cost of growth: each strategy reloads one month of a table that holds 6, 24 and 60 months.

    python -m benchmarks.strategies.growth [--rounds 5] [--months 6,24,60] [--rows 60000]

Each load runs in a process of its own. Before each, and not timed, the month is put back as it was, the table is
vacuumed and a checkpoint is made. While the load runs, a reader asks for the month's count and sum every few
milliseconds; an answer that is neither the old file's nor the new one's ends the benchmark, and so does a wrong digest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq

from benchmarks.harness import measure
from benchmarks.strategies.reload import RELOADED, SCHEMA, order
from core import digest, ledger, load
from core.database import connect
from core.extract import sample
from core.month import Month
from core.run import STRATEGIES
from core.settings import settings
from core.waiting import until

FIRST = Month(2020, 1)

FEW = "upsert, 1 % changed"
"""A method of its own, because the price of this strategy depends on how many rows changed."""

CHANGES: dict[str, float] = {**dict.fromkeys(STRATEGIES, 1.0), FEW: 0.01}
"""Method -> the share of the month's rows that the new file changes."""

OVERWRITE_ROUNDS = 3
"""One overwrite of 60 months takes as long as some fifty loads by the others."""

PAUSE_S = 0.005
"""Between two queries of the reader, which would otherwise take one of two cores from what is measured."""

SERVER = {
    # PostgreSQL's default. Under the lab's `minimal`, a swap would write no WAL.
    "wal_level": "replica",
    # Autovacuum would run during some of the loads. The benchmark vacuums before each of them.
    "autovacuum": "off",
}


# --- the reader
# --------------------------------------------------------------------------------------------------------


@dataclass
class Reader:
    """A session that queries the month all the time: when each query began and ended, and its answer."""

    dsn: str
    samples: list[tuple[float, float, tuple[Any, ...]]] = field(default_factory=list)

    def ask(self, connection: psycopg.Connection[Any]) -> None:
        """Run the query once."""
        query = f"""
            SELECT count(*), sum(hashfloat8(fare_amount)) FROM {SCHEMA}.raw_trips
            WHERE source_month = '{RELOADED.first_day}'
        """
        began = time.monotonic()
        (answer,) = connection.execute(query.encode()).fetchall()
        self.samples.append((began, time.monotonic(), answer))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Query again and again until the block ends; raise the error if a query failed."""
        stop, failed = threading.Event(), list[BaseException]()

        def run() -> None:
            try:
                with psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None) as connection:
                    while not stop.is_set():
                        self.ask(connection)
                        stop.wait(PAUSE_S)
                    # The answer after the load.
                    self.ask(connection)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        if failed:
            raise failed[0]

    def waits_ms(self, began: float, ended: float) -> list[float]:
        """Return how long each query took that was under way between the two moments, in milliseconds."""
        return [1000 * (end - start) for start, end, _ in self.samples if end >= began and start <= ended]

    def check(self, ended: float) -> None:
        """Raise `BenchmarkError` unless every answer is the one before the load or the one after it."""
        before, after = self.samples[0][2], self.samples[-1][2]
        if parts := {answer for _, _, answer in self.samples} - {before, after}:
            raise measure.BenchmarkError(f"a reader saw part of a month: {parts}, not {before} or {after}")
        if late := [answer for start, _, answer in self.samples if start > ended and answer != after]:
            raise measure.BenchmarkError(f"a reader saw the old month after the commit: {late[0]}, not {after}")


# --- the rounds
# ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """The month as it was, a version in which every row differs, and one in which one row in a hundred does."""

    old: str
    new: str
    few: str

    @classmethod
    def write(cls, folder: Path, rows: int) -> Files:
        """Generate the three files."""
        paths = [folder / f"{name}.parquet" for name in ("old", "new", "few")]
        for path, seed in zip(paths[:2], (1, 2), strict=True):
            sample.write_month(path, RELOADED, seed, rows)
        table = pq.read_table(paths[0])
        # Not `fare + (number % 100 == 0)`: -0.0 + 0 is 0.0, which is another row.
        fares = [fare if number % 100 else fare + 1 for number, fare in enumerate(table["fare_amount"].to_pylist())]
        column = table.column_names.index("fare_amount")
        pq.write_table(table.set_column(column, "fare_amount", [fares]), paths[2])
        return cls(*map(str, paths))


def one(at: measure.Server, files: Files, method: str, months: int, number: int) -> measure.Row:
    """Run one load; return what it cost.

    `reader_*_ms` are the reader's waits while the load ran, `idle_ms` is their median before it.
    """
    load.load(order(files.old, RELOADED, "swap"))
    # After a checkpoint the first change of a page writes the whole page to the WAL, which a daily reload always pays.
    at.execute(f"VACUUM {SCHEMA}.raw_trips", "CHECKPOINT")
    arguments = {"file": files.few if method == FEW else files.new, "strategy": method.partition(",")[0]}
    start, reader = lsn_with_counters_at_zero(at), Reader(at.dsn)
    with reader.asking():
        # In this environment, because the load needs nothing that the peers use.
        done = measure.run("benchmarks.strategies.reload:reload", arguments, at, python=Path(sys.executable))
    began, ended = done.value["began"], done.value["ended"]
    reader.check(ended)
    waits = reader.waits_ms(began, ended)
    return {
        "strategy": method, "months": months, "round": number, "changed": CHANGES[method],
        "wall_s": done.wall_s, "client_cpu_s": done.client_cpu_s, **written_since(at, start),
        "reader_p50_ms": round(statistics.median(waits), 2), "reader_max_ms": round(max(waits), 2),
        "idle_ms": round(statistics.median(reader.waits_ms(0, began)), 2), "reads": len(waits),
        "digest": done.value["digest"],
    }  # fmt: skip


def check_every_month() -> None:
    """Raise `BenchmarkError` unless every month holds what the ledger says, including months that were only moved."""
    with connect("benchmark") as connection:
        there = {month: found.hex for month, found in digest.by_month(connection, SCHEMA, "raw_trips").items()}
        loaded = {f"{entry.month:%Y-%m}": entry.content_digest for entry in ledger.entries(connection, SCHEMA)}
    if there != loaded:
        raise measure.BenchmarkError(
            f"these months are not what was loaded: {sorted({*there.items()} ^ {*loaded.items()})}"
        )


def lsn_with_counters_at_zero(at: measure.Server) -> str:
    """Set the server's counters of rows to zero; return the end of the WAL."""
    wait_for_counters(at)
    ((lsn, _),) = at.execute("SELECT pg_current_wal_insert_lsn()::text, pg_stat_reset()::text")
    return str(lsn)


def written_since(at: measure.Server, lsn: str) -> measure.Row:
    """Return what has been written since: bytes of WAL, rows of the table, and how many of its rows that has left dead.

    The rows are those that the server counts for its vacuum. They are not counted in the table, because a reader that
    passes a page may have cleaned it up by then.
    """
    wait_for_counters(at)
    ((wal,),) = at.execute(f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{lsn}')::bigint")
    ((written, dead),) = at.execute(
        f"""SELECT sum(n_tup_ins + n_tup_upd)::bigint, sum(n_tup_del + n_tup_upd)::bigint
            FROM pg_inherits JOIN pg_stat_all_tables ON relid = inhrelid
            WHERE inhparent = '{SCHEMA}.raw_trips'::regclass"""
    )
    return {"wal_bytes": wal, "rows_written": written, "dead_rows": dead}


def wait_for_counters(at: measure.Server) -> None:
    """Wait until every loader's backend has ended: only then does it add its work to the counters."""
    query = """SELECT count(*) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name LIKE 'triptych%'"""
    until(lambda: at.execute(query) == [(0,)] or None, 30.0, 0.01, "the end of the loader's session")


def measured(at: measure.Server, months: list[int], rows: int, rounds: int) -> Iterator[measure.Row]:
    """Grow the table step by step, and at each size reload a month by every method; yield the results."""
    files = Files.write(at.folder, rows)
    loaded: list[Month] = []
    for size in months:
        while len(loaded) < size:
            loaded.append(loaded[-1].next() if loaded else FIRST)
            # Every month gets the same rows: only their number matters.
            load.load(order(files.old, loaded[-1], "swap"))
        counts = {method: min(rounds, OVERWRITE_ROUNDS) if method == "overwrite" else rounds for method in CHANGES}
        digests: dict[bool, str] = {}
        for number, method in measure.interleaved(counts):
            row = one(at, files, method, size, number)
            if digests.setdefault(method == FEW, row["digest"]) != row["digest"]:
                raise measure.BenchmarkError(f"{method} left the digest {row['digest']}, another strategy {digests}")
            print(
                f"{size:>3} months  {method:<20} {row['wall_s']:8.2f} s  {row['wal_bytes'] / 1e6:8.1f} MB of WAL",
                flush=True,
            )
            yield row
        check_every_month()


def main(argv: list[str] | None = None) -> int:
    """Measure, and write ``growth.json``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strategies.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--months", type=lambda text: [int(word) for word in text.split(",")], default=[6, 24, 60])
    parser.add_argument("--rows", type=int, default=60_000, help="rows of each month")
    measure.folder_option(parser)
    wanted = parser.parse_args(argv)
    with measure.server(**SERVER) as at:
        # For what is not timed and runs in this process.
        os.environ["TRIPTYCH_DSN"] = at.dsn
        settings.cache_clear()
        about = measure.facts(at, ["pgpq", "psycopg", "pyarrow"], Path(sys.executable))
        rows = list(measured(at, wanted.months, wanted.rows, wanted.rounds))
    about["conditions"] = {"rows_per_month": wanted.rows, "reader_pause_s": PAUSE_S, **SERVER}
    print(measure.write("growth", about, rows, wanted.folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
