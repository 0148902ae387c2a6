"""The ways to insert that `benchmarks.strategies.claims` compares.

Each runs in a process of its own, in the peers' environment.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa

from core import load
from core.datasets import GREEN
from core.extract import Extracted
from core.month import Month
from core.settings import settings

MONTH = Month(2024, 1)
TABLE = "claims.trips"
NAMES = [column.name for column in GREEN.table_columns]
COLUMNS = ", ".join(f'"{name}"' for name in NAMES)
BATCH = 1000
"""Rows of one INSERT, the usual value of `chunksize`."""


def copy(path: str, rows: int) -> Callable[[], None]:
    """COPY as the loader does it, without its ledger."""
    import pgpq

    batches = _table(path, rows).to_batches()
    encoder = pgpq.ArrowToPostgresBinaryEncoder(GREEN.arrow)
    connection = _connected()

    def timed() -> None:
        with connection, connection.cursor().copy(f"COPY {TABLE} ({COLUMNS}) FROM STDIN (FORMAT binary)") as into:
            into.write(encoder.write_header())
            for batch in batches:
                into.write(encoder.write_batch(batch))
            into.write(encoder.finish())

    return timed


_INSERT = f"INSERT INTO {TABLE} ({COLUMNS}) VALUES ({', '.join(['%s'] * len(NAMES))})"


def execute(path: str, rows: int) -> Callable[[], None]:
    """Send one statement per row. psycopg prepares it after the fifth."""
    values, connection = _tuples(path, rows), _connected()

    def timed() -> None:
        with connection, connection.cursor() as cursor:
            for row in values:
                cursor.execute(_INSERT, row)

    return timed


def executemany(path: str, rows: int) -> Callable[[], None]:
    """Send the same statements without waiting for the answers."""
    values, connection = _tuples(path, rows), _connected()

    def timed() -> None:
        with connection, connection.cursor() as cursor:
            cursor.executemany(_INSERT, values)

    return timed


def execute_values(path: str, rows: int) -> Callable[[], None]:
    """Send many rows in one statement, whose text the client puts together."""
    import psycopg2
    from psycopg2 import extras

    values = _tuples(path, rows)
    _connected().close()
    connection = psycopg2.connect(settings().require_dsn())

    def timed() -> None:
        insert = f"INSERT INTO {TABLE} ({COLUMNS}) VALUES %s"
        extras.execute_values(connection.cursor(), insert, values, page_size=BATCH)
        connection.commit()

    return timed


def to_sql(path: str, rows: int, multi: bool = False) -> Callable[[], None]:
    """Insert as most people do, with psycopg 3, SQLAlchemy's default since 2.1: pandas calls its `executemany`."""
    import sqlalchemy

    frame = _table(path, rows).to_pandas(integer_object_nulls=True, date_as_object=True)
    _connected().close()
    engine = sqlalchemy.create_engine(settings().require_dsn().replace("postgresql:", "postgresql+psycopg:"))
    connection = engine.connect()
    how = {"method": "multi", "chunksize": BATCH} if multi else {}

    def timed() -> None:
        schema, _, name = TABLE.partition(".")
        frame.to_sql(name, connection, schema=schema, if_exists="append", index=False, **how)
        connection.commit()

    return timed


def to_sql_multi(path: str, rows: int) -> Callable[[], None]:
    """Insert with the argument that is said to make `to_sql` fast."""
    return to_sql(path, rows, multi=True)


def _table(path: str, rows: int) -> pa.Table:
    """Return the first rows, as the loader would send them."""
    file = Extracted(Path(path), Path(path).name, "", 0)
    return pa.Table.from_batches(load.batches(GREEN, file, MONTH)).slice(0, rows)


def _tuples(path: str, rows: int) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in _table(path, rows).columns), strict=True))


def _connected() -> psycopg.Connection[Any]:
    """Empty the table; return a connection, which commits and closes when it is used as a context."""
    connection = psycopg.connect(settings().require_dsn())
    connection.execute(f"TRUNCATE {TABLE}".encode())
    connection.commit()
    return connection
