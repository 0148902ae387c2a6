"""The usual pattern: delete what was picked up in the month, then append the file, each in a transaction of its own.

A rerun of both leaves one copy of the rows, which is why the pattern is called idempotent.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import psycopg
import pyarrow.csv
import pyarrow.parquet
from psycopg import sql

from core.month import Month
from core.run import DATASET
from core.settings import settings

PICKUP = "lpep_pickup_datetime"


def file_of(source: str, month: str) -> Path:
    """Return the file of a month."""
    return Path(source, f"green_tripdata_{month}.parquet")


def columns(path: Path) -> list[str]:
    """Return the names of a file's columns."""
    return list(pyarrow.parquet.read_schema(path).names)


def connect(month: str) -> psycopg.Connection[tuple[object, ...]]:
    """Connect to the warehouse. The name is what the drills find a month's process by."""
    return psycopg.connect(
        settings().require_dsn(), application_name=f"triptych pid={os.getpid()} usual {DATASET} {month}"
    )


def delete(schema: str, month: str) -> None:
    """Delete the rows that were picked up in the month."""
    first = Month.parse(month)
    table, pickup = sql.Identifier(schema, "trips"), sql.Identifier(PICKUP)
    statement = sql.SQL("DELETE FROM {} WHERE {pickup}::timestamp >= %s AND {pickup}::timestamp < %s")
    with connect(month) as connection:
        connection.execute(statement.format(table, pickup=pickup), [first.first_day, first.next().first_day])


def append(source: str, schema: str, month: str) -> None:
    """Append the rows of the month's file."""
    with connect(month) as connection:
        append_to(connection, source, schema, month, "trips")


def append_to(
    connection: psycopg.Connection[tuple[object, ...]], source: str, schema: str, month: str, table: str
) -> None:
    """Append the rows of the month's file to a table on a connection."""
    path = file_of(source, month)
    text = io.BytesIO()
    pyarrow.csv.write_csv(pyarrow.parquet.read_table(path), text)
    names = sql.SQL(", ").join(map(sql.Identifier, columns(path)))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER)").format(sql.Identifier(schema, table), names)
    with connection.cursor().copy(statement) as copy:
        copy.write(text.getvalue())
