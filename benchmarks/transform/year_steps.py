"""What `benchmarks.transform.year` times, each in a process that imports no more than an orchestrator's task does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg

from core import pipeline, transform
from core.month import Month
from core.run import Run
from core.settings import settings

SCHEMA = "year"
DATASET: Final = "yellow"
BARE = "bare"
"""The schema of what PostgreSQL does alone."""

Timed = Callable[[], float | None]


def run(folder: str) -> Run:
    """Return the run that every step belongs to."""
    return Run(folder, SCHEMA, loader="benchmark", dataset=DATASET, force=True, accept_suspect=True)


def load(folder: str, month: str) -> Timed:
    """Return the step `ingest_month`, from the file in a folder to the published month."""
    of, wanted = run(folder), Month.parse(month)
    return lambda: pipeline.ingest_month(of, wanted).rows


def copy(wire: str) -> Timed:
    """Return a COPY of bytes that were encoded in advance: the time that the server needs for the same month."""
    connection = psycopg.connect(settings().require_dsn())

    def timed() -> None:
        with connection.transaction(), Path(wire).open("rb") as file:
            # In the transaction that fills it, as our loads do: then a server with wal_level=minimal writes no WAL.
            connection.execute(f"CREATE TABLE {BARE}.raw (LIKE {SCHEMA}.raw_trips)".encode())
            with connection.cursor().copy(f"COPY {BARE}.raw FROM STDIN (FORMAT binary)".encode()) as sent:
                while piece := file.read(1 << 20):
                    sent.write(memoryview(piece))

    return timed


def refresh() -> Timed:
    """Return one refresh of the models: all that is pending, tested and published."""
    return lambda: len(transform.refresh(SCHEMA).months)


def create_table_as(query: str) -> Timed:
    """Return CREATE TABLE AS of the query that dbt runs for `fct_trips`, and the primary key of the published table.

    It returns the seconds of the first of the two.
    """
    connection = psycopg.connect(settings().require_dsn())

    def timed() -> float:
        began = time.perf_counter()
        with connection.transaction():
            connection.execute(f"CREATE TABLE {BARE}.trips AS ({query})".encode())
            query_s = time.perf_counter() - began
            connection.execute(f"ALTER TABLE {BARE}.trips ADD PRIMARY KEY (source_month, row_number)".encode())
        return round(query_s, 3)

    return timed
