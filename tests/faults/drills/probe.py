"""A reader that asks for the tables all the while: each month is complete in them, or not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from core import digest
from tests.contract.bench import Bench
from tests.faults.drills.asking import asking

PAUSE_S = 0.2
"""Between two looks: without it the reader would take a core from the orchestrator."""

COUNTS = sql.SQL(
    "SELECT (SELECT count(*) FROM {trips}), (SELECT coalesce(sum(trips), 0) FROM {daily}),"
    " (SELECT coalesce(sum(row_count), 0) FROM {ledger} WHERE model = 'fct_trips')"
)
"""One statement, so all three figures are of one instant."""

Months = Mapping[str, str]
"""The digest of each month."""


@dataclass
class Seen:
    """What the reader saw: the number of its looks, and what was wrong."""

    looks: int = 0
    wrong: list[str] = field(default_factory=list)


@contextmanager
def reading(bench: Bench, schema: str, complete: Mapping[str, Months]) -> Iterator[Seen]:
    """Let a reader look at `schema`, whose first month is built, until the block ends.

    `complete` holds, for a table, the digest of each of its months when it is complete.
    """
    seen = Seen()

    def ask(connection: psycopg.Connection[Any]) -> None:
        seen.wrong += look(connection, schema, complete)
        seen.looks += 1

    with asking(bench, ask, PAUSE_S):
        yield seen


def look(connection: psycopg.Connection[Any], schema: str, complete: Mapping[str, Months]) -> Iterator[str]:
    """Yield what is wrong now: a month that is there in part, and marts that contradict each other."""
    for table, months in complete.items():
        for month, found in digest.by_month(connection, schema, table).items():
            if found.hex != months.get(month):
                yield f"{table} {month}: {found.rows} rows, which are not the month"
    tables = {"trips": "fct_trips", "daily": "daily_borough_stats", "ledger": "mart_ledger"}
    names = {name: sql.Identifier(schema, table) for name, table in tables.items()}
    trips, by_date, recorded = connection.execute(COUNTS.format(**names)).fetchall()[0]
    if not trips == by_date == recorded:
        yield f"{trips} trips, {by_date} by date, {recorded} recorded"


def complete_months(bench: Bench, schema: str) -> dict[str, Months]:
    """Return the digests of a schema that is complete, as `reading` takes them."""
    with bench.connect() as connection:
        tables = ("raw_trips", "fct_trips")
        return {
            table: {month: found.hex for month, found in digest.by_month(connection, schema, table).items()}
            for table in tables
        }
