"""Readable files that are probably not what the publisher meant: the evidence in their rows, and in the rows that are
loaded.

A file is refused before publication for what it, or the set of files, shows by itself, unless the user insists; it is
loaded with a warning for what only history shows (docs/decisions/0010). `month`, `shrunk` and `lookup` return the line
to show, or None.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from core import ledger
from core.database import Connection
from core.datasets import Dataset
from core.extract import Extracted
from core.load.casting import first_instant
from core.load.order import Load
from core.month import Month
from core.run import counted

SHOWN = 6
"""The most months, or ids, that a line lists; the others are counted."""


class InMonth:
    """Counts the rows of record batches whose `Dataset.dated` lies in a month."""

    def __init__(self, dataset: Dataset, month: Month) -> None:
        assert dataset.dated is not None
        self._column = dataset.arrow.get_field_index(dataset.dated)
        self._first, self._end = first_instant(month.first_day), first_instant(month.next().first_day)
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the batch's rows."""
        times = batch.column(self._column)
        self.rows += pc.and_(pc.greater_equal(times, self._first), pc.less(times, self._end)).true_count


def month(connection: Connection, order: Load, rows: int, inside: int, copied: sql.Identifier) -> str | None:
    """Return what is suspect about the file as that month: no rows, or most of its `rows` from other months.

    `inside` rows are of the month; `copied` holds all of them.
    """
    file, dataset, month = order.file, order.dataset, order.month
    assert month is not None
    if rows == 0:
        return f"{file.name} has no rows"
    if 2 * (rows - inside) <= rows:
        return None
    other, count = _most_often(connection, dataset, month, copied)
    if count == rows:
        line = f"{file.name}: all {rows:,} rows are of {other}, not of {month}"
    elif inside == 0:
        line = f"{file.name}: none of the {rows:,} rows is of {month}, and {count:,} are of {other}"
    else:
        line = f"{file.name}: {rows - inside:,} of {rows:,} rows are not of {month}, and {count:,} are of {other}"
    same = ledger.same_bytes(connection, order.schema, dataset.name, month, file.sha256)
    return f"{line}; same bytes as {', '.join(same)}" if same else line


def _most_often(connection: Connection, dataset: Dataset, month: Month, copied: sql.Identifier) -> tuple[str, int]:
    """Return the month, other than `month`, that most of the copied rows are of, and how many are."""
    query = sql.SQL(
        """SELECT other, count(*) FROM (SELECT to_char({}, 'YYYY-MM') AS other FROM {}) AS copied
           WHERE other <> {} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"""
    )
    found = connection.execute(query.format(sql.Identifier(str(dataset.dated)), copied, sql.Literal(str(month))))
    ((other, count),) = found.fetchall()
    return other, count


def shrunk(file: Extracted, rows: int, before: int) -> str | None:
    """Return a line when the month has lost more than half of the rows that were loaded."""
    return f"{file.name} has {counted(rows, 'row')}, and {before:,} were loaded before" if 2 * rows < before else None


def keys(connection: Connection, order: Load) -> set[int]:
    """Return the keys of the lookup in its table."""
    query = sql.SQL("SELECT {} FROM {}").format(sql.Identifier(str(order.dataset.key)), order.table)
    return {key for (key,) in connection.execute(query).fetchall()}


def lookup(connection: Connection, order: Load, before: set[int]) -> str | None:
    """Return what is suspect about the lookup that was just copied: no rows, or no more keys that loaded rows use."""
    file, dataset = order.file, order.dataset
    present = keys(connection, order)
    gone = sorted(before - present)
    used = _used(connection, order, gone) if gone and dataset.used_in else []
    if present and not used:
        return None
    line = f"{file.name} has no rows"
    if present:
        line = f"{file.name} lacks {dataset.key} {_listed(sorted({key for _, _, some in used for key in some}))}"
    if not used:
        return line
    total = sum(rows for _, rows, _ in used)
    months = _listed([f"{month} ({rows:,})" for month, rows, _ in used])
    return f"{line}; loaded rows that need what is gone: {total:,}, in {months}"


def _used(connection: Connection, order: Load, gone: list[int]) -> list[tuple[str, int, list[int]]]:
    """Return each month of the rows that use those keys, with their number and the keys.

    The lock on their table is kept until the commit, and delays a swap: so this is asked only of a lookup that has lost
    keys.
    """
    query = sql.SQL(
        """
        SELECT to_char(source_month, 'YYYY-MM'), count(DISTINCT row_number), array_agg(DISTINCT key)
        FROM {} CROSS JOIN LATERAL unnest(ARRAY[{}]) AS key WHERE key = ANY ({}) GROUP BY 1 ORDER BY 1
        """
    )
    columns = sql.SQL(", ").join(map(sql.Identifier, order.dataset.used_as))
    table = sql.Identifier(order.schema, str(order.dataset.used_in))
    return connection.execute(query.format(table, columns, sql.Literal(gone))).fetchall()


def _listed(items: Sequence[object]) -> str:
    shown = ", ".join(map(str, items[:SHOWN]))
    return shown if len(items) <= SHOWN else f"{shown} and {len(items) - SHOWN} more"
