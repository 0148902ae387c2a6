"""Shared by the load tests: small months, attempts, and which session waits for a lock."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
from psycopg import sql

from core import load
from core.datasets import GREEN, ZONES, Dataset
from core.extract import Extracted, extract, sample
from core.month import Month
from core.waiting import until

SCHEMA = "plain"
MONTH, OTHER = Month(2024, 1), Month(2024, 2)
ROWS = 500
WAIT_S = 60.0

Row = tuple[Any, ...]


def write(folder: Path, month: Month = MONTH, seed: int = sample.SEED, rows: int = ROWS) -> int:
    """Publish a month's sample file in `folder`, in place of an earlier one; return its number of rows."""
    return sample.write_month(folder / sample.file_name(month), month, seed, rows)


def order(
    folder: Path, month: Month | None = MONTH, *, schema: str = SCHEMA, dataset: Dataset = GREEN, **changes: Any
) -> load.Load:
    """Begin an attempt as the pipeline does: draw the fencing token first, then fetch the file."""
    fence = load.begin(schema)
    file = extract(dataset, str(folder), month)
    made = load.Load(schema, dataset, month, file, "swap", "test", "run-1", fence)
    return dataclasses.replace(made, **changes)


def attempt(folder: Path, month: Month | None = MONTH, **changes: Any) -> load.Loaded:
    """Run one whole attempt at a month."""
    return load.load(order(folder, month, **changes))


def attempt_zones(folder: Path, **changes: Any) -> load.Loaded:
    """Run one whole attempt at the zone lookup."""
    return attempt(folder, None, dataset=ZONES, **changes)


def connect(dsn: str) -> psycopg.Connection[Row]:
    """Connect as a reader, in autocommit."""
    return psycopg.connect(dsn, autocommit=True)


def rows(dsn: str, table: str = "raw_trips", schema: str = SCHEMA) -> list[Row]:
    """Return a table's rows, with doubles as their bits, in an order that does not depend on the disk."""
    with connect(dsn) as connection:
        found = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table))).fetchall()
    return sorted((tuple(map(_bits, row)) for row in found), key=repr)


def _bits(value: Any) -> Any:
    return struct.pack(">d", value) if isinstance(value, float) else str(value) if isinstance(value, Decimal) else value


def count(dsn: str, month: Month | None = None, schema: str = SCHEMA) -> int:
    """Return how many rows a reader sees now, of a month or of all."""
    where = sql.SQL("WHERE source_month = {}").format(month.first_day) if month else sql.SQL("")
    query = sql.SQL("SELECT count(*) FROM {} {}").format(sql.Identifier(schema, "raw_trips"), where)
    with connect(dsn) as connection:
        return int(connection.execute(query).fetchall()[0][0])


def relations(dsn: str, schema: str = SCHEMA) -> set[str]:
    """Return the tables and sequences of a schema."""
    with connect(dsn) as connection:
        query = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind IN ('r', 'p', 'S')"
        return {name for (name,) in connection.execute(query, [sql.Identifier(schema).as_string(connection)])}


def ledger(dsn: str, schema: str = SCHEMA) -> list[Row]:
    """Return the whole rows of the ledger."""
    return rows(dsn, "load_ledger", schema)


def lossy(file: Extracted) -> Extracted:
    """Return a copy of a file in which the very last value can't be kept."""
    table = pq.read_table(file.path)
    fares = table["fare_amount"].to_pylist()
    column = table.column_names.index("fare_amount")
    path = file.path.with_name(f"lossy_{file.name}")
    pq.write_table(table.set_column(column, "fare_amount", [[*fares[:-1], float("inf")]]), path)
    return Extracted(path, file.name, "0" * 64, path.stat().st_size)


@contextmanager
def held(dsn: str, schema: str = SCHEMA) -> Iterator[psycopg.Connection[Row]]:
    """Hold the ledger's lock: a loader copies its rows, then waits with its transaction open."""
    with connect(dsn) as connection, connection.transaction():
        connection.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(sql.Identifier(schema, "load_ledger")))
        yield connection


def waiting(dsn: str, number: int = 1, name: str = "triptych pid=%") -> list[tuple[int, str]]:
    """Wait until `number` sessions of that name wait for a lock; return the pids and names of their backends."""

    def probe() -> list[tuple[int, str]] | None:
        query = """SELECT pid, application_name FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name LIKE %s"""
        with connect(dsn) as connection:
            found = connection.execute(query, [name]).fetchall()
        return [(pid, name) for pid, name in found] if len(found) >= number else None

    return until(probe, WAIT_S, 0.02, f"{number} sessions that wait for a lock")


@contextmanager
def running(*steps: Any) -> Iterator[list[Future[Any]]]:
    """Run the steps side by side; on the way out, wait for all of them."""
    with ThreadPoolExecutor(len(steps)) as pool:
        yield [pool.submit(step) for step in steps]
