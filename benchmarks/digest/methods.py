"""The ways to tell whether two tables are equal that the digest race compares. Each runs in a process of its own.

The tables are ``one.trips`` and ``two.trips``, which hold the same rows in different order. Each has an index on
`row_number` for the methods that look rows up by it. A method returns whether the tables are equal, or None if it does
not compare them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import psycopg

from benchmarks.load.methods import TABLE
from core import digest
from core.database import Connection
from core.datasets import GREEN
from core.settings import settings

SCHEMAS = ("one", "two")
KEY = "row_number"

Timed = Callable[[], bool | None]


def _connect() -> Connection:
    # As core.database does, but without its context: the process ends with the run.
    return psycopg.connect(settings().require_dsn(), options="-c parallel_setup_cost=100", autocommit=True)


def triptych_digest() -> Timed:
    """`core.digest.table` of both."""
    connection = _connect()

    def timed() -> bool:
        first, second = (digest.table(connection, schema, TABLE) for schema in SCHEMAS)
        return first == second

    return timed


def copy_out() -> Timed:
    """``COPY TO STDOUT (FORMAT binary)`` of both, read and discarded: what any comparison by a client pays first."""
    connection = _connect()

    def timed() -> None:
        for schema in SCHEMAS:
            with connection.cursor().copy(f"COPY {schema}.{TABLE} TO STDOUT (FORMAT binary)".encode()) as copy:
                while copy.read():
                    pass

    return timed


def datacompy() -> Timed:
    """datacompy's `PolarsCompare` of both, fetched by ADBC into polars frames."""
    import datacompy as library
    import polars as pl

    dsn = settings().require_dsn()

    def timed() -> bool:
        first, second = (pl.read_database_uri(f"SELECT * FROM {s}.{TABLE}", dsn, engine="adbc") for s in SCHEMAS)
        return bool(library.PolarsCompare(first, second, join_columns=KEY).matches())

    return timed


def reladiff_hash() -> Timed:
    """reladiff's ``hashdiff``: checksums of ranges of keys, in the server."""
    return _reladiff("HASHDIFF")


def reladiff_join() -> Timed:
    """reladiff's ``joindiff``, its choice for two tables of one database: a full outer join."""
    return _reladiff("JOINDIFF")


def _reladiff(algorithm: str) -> Timed:
    import reladiff as library

    logging.disable(logging.WARNING)
    dsn = settings().require_dsn()
    others = tuple(column.name for column in GREEN.table_columns if column.name != KEY)

    def timed() -> bool:
        first, second = (
            library.connect_to_table(dsn, (schema, TABLE), KEY, extra_columns=others) for schema in SCHEMAS
        )
        differences = library.diff_tables(first, second, algorithm=getattr(library.Algorithm, algorithm))
        return next(iter(differences), None) is None

    return timed


METHODS: dict[str, Callable[[], Any]] = {
    "triptych-digest": triptych_digest,
    "copy-out": copy_out,
    "datacompy": datacompy,
    "reladiff-hash": reladiff_hash,
    "reladiff-join": reladiff_join,
}
"""Every method by its name in the results."""
