"""The load ledger: one row per (dataset, month), written in the transaction that publishes the rows.

It is the one record of what is loaded. The row that a publication replaces moves to `load_history` in the same
transaction; nothing but ``triptych history`` reads that table.

A sequence numbers events with fencing tokens: `fence` is the one that the publishing attempt drew when it began, and
`seen` the one that was drawn when these bytes were last published, or were still the same at the source. An attempt
that began before that sees a larger number than its own, and changes nothing: the file that it has fetched may be the
older version.

So every new number must be above all that the ledger holds. A database that was restored or replicated without the
sequence's value draws smaller ones, and each attempt would take itself for too old, for ever. `next_fence` raises such
a sequence first.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from psycopg import sql
from psycopg.rows import class_row

from core.database import Connection
from core.errors import PermanentError
from core.month import Month

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """What is loaded. `month` is None for a dataset that is not monthly; `declaration` is `Dataset.declaration`.

    `source` is the run parameter, without a secret; it is empty where a version loaded that did not record it.
    `content_digest` is that of the file's rows (`core.load.rowhash`); `core.digest` computes the table's own.
    """

    dataset: str
    month: dt.date | None
    source_file: str
    source_sha256: str
    source_bytes: int
    row_count: int
    content_digest: str
    declaration: str
    strategy: str
    loader: str
    run_id: str
    fence: int
    seen: int
    loaded_at: dt.datetime | None = None
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the same facts as JSON has them: the month as ``2024-01``, times as ISO 8601."""
        month = self.month.isoformat()[:7] if self.month else None
        return asdict(self) | {"month": month, "loaded_at": self.loaded_at.isoformat() if self.loaded_at else None}


@dataclass(frozen=True)
class Publication:
    """One load that was published, as the ledger recorded it; `is_current` until another one replaced it."""

    entry: Entry
    is_current: bool


_CREATE = sql.SQL(
    """
    CREATE SEQUENCE IF NOT EXISTS {schema}.load_fence START WITH {first};
    CREATE TABLE IF NOT EXISTS {schema}.load_ledger (
        dataset text NOT NULL,
        month date,
        source_file text NOT NULL,
        source_sha256 text NOT NULL,
        source_bytes bigint NOT NULL,
        row_count bigint NOT NULL,
        content_digest text NOT NULL,
        declaration text NOT NULL,
        strategy text NOT NULL,
        loader text NOT NULL,
        run_id text NOT NULL,
        fence bigint NOT NULL,
        seen bigint NOT NULL,
        loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        source text NOT NULL DEFAULT '',
        UNIQUE NULLS NOT DISTINCT (dataset, month)
    );
    CREATE TABLE IF NOT EXISTS {schema}.load_history (LIKE {schema}.load_ledger);
    """
)

_TABLES = ("load_ledger", "load_history")
"""What is loaded, and what was loaded before."""

_ADD = sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS source text NOT NULL DEFAULT ''")

_ADDED = "source"
"""The column that a ledger of the first version lacks until the next load."""

_NAMES = [field.name for field in fields(Entry) if field.name != _ADDED]
_EVERY = sql.SQL(", ").join(map(sql.Identifier, [*_NAMES, _ADDED]))
# A row as JSON has NULL for a column that its table lacks
_COLUMNS = sql.SQL("{}, coalesce(to_jsonb(load_ledger) ->> {name}, '') AS {column}").format(
    sql.SQL(", ").join(map(sql.Identifier, _NAMES)), name=sql.Literal(_ADDED), column=sql.Identifier(_ADDED)
)
_IS_ONE = sql.SQL("dataset = {} AND month IS NOT DISTINCT FROM {}::date")


def create(connection: Connection, schema: str) -> None:
    """Create the ledger, its history, its sequence and its columns where they are missing.

    The sequence starts at the clock's milliseconds: if the schema is dropped and created again while an attempt is
    under way, that attempt is still older than all that follow.
    """
    connection.execute(_CREATE.format(schema=sql.Identifier(schema), first=sql.Literal(_clock())))
    if not is_current(connection, schema):
        # Only the table's owner may do this, and it waits for all readers, even where the column exists.
        for table in _TABLES:
            connection.execute(_ADD.format(_name(schema, table)))


def is_current(connection: Connection, schema: str) -> bool:
    """Return whether the ledger and its history exist, with all columns: otherwise `create` makes what is missing."""
    query = """SELECT count(*) FROM pg_attribute
               WHERE attrelid IN (to_regclass(%s), to_regclass(%s)) AND attname = %s AND NOT attisdropped"""
    names = [_name(schema, table).as_string(connection) for table in _TABLES]
    return connection.execute(query, [*names, _ADDED]).fetchone() == (len(_TABLES),)


def _clock() -> int:
    return time.time_ns() // 1_000_000


def next_fence(connection: Connection, schema: str) -> int:
    """Begin an attempt: return a number above that of every earlier attempt, and above all in the ledger.

    This commits when the sequence has to be raised first.
    """
    fence, recorded = _draw(connection, schema)
    if fence <= recorded:
        # Drawing took a lock on the sequence: two attempts that hold one could never raise it
        connection.commit()
        _raise_fence(connection, schema)
        fence, _ = _draw(connection, schema)
    return fence


_RECORDED = sql.SQL("(SELECT coalesce(max(greatest(fence, seen)), 0) FROM {})")


def _draw(connection: Connection, schema: str) -> tuple[int, int]:
    """Return a new number, and the largest in the ledger.

    A statement's snapshot is older than the number that it draws. So the number of a sequence that is in order is the
    larger one, also while others publish.
    """
    query = sql.SQL("SELECT {}, {}").format(_now(connection, schema), _RECORDED.format(_name(schema)))
    row = connection.execute(query).fetchone()
    assert row is not None
    return row


def fences(connection: Connection, schema: str) -> tuple[int, int]:
    """Return the last number that was drawn, and the largest in the ledger: 0 when that is empty."""
    query = sql.SQL("SELECT last_value - (NOT is_called)::int, {} FROM {}")
    sequence = sql.Identifier(schema, "load_fence")
    row = connection.execute(query.format(_RECORDED.format(_name(schema)), sequence)).fetchone()
    assert row is not None
    return row


def _raise_fence(connection: Connection, schema: str) -> None:
    """Raise the sequence above the ledger; raise `PermanentError` when the ledger has a number that no sequence drew.

    setval could move it back, because others may draw numbers between our query and the change. ALTER SEQUENCE takes a
    lock that keeps everyone from drawing until the transaction ends. An attempt that waited for that lock queries
    again, and sees that the sequence was raised.

    It continues at the clock's milliseconds, as a new one does: an attempt that began before the restore may hold a
    number above the restored ledger, and must stay older than all that follow.
    """
    name = sql.Identifier(schema, "load_fence")
    # It has that value already: this only takes the lock
    connection.execute(sql.SQL("ALTER SEQUENCE {} CACHE 1").format(name))
    drawn, recorded = fences(connection, schema)
    if drawn >= recorded:
        return
    if recorded > _LARGEST:
        raise PermanentError(
            f"{schema}.load_ledger has {recorded} as fence or seen, which no sequence drew: "
            f"set both to {drawn} in that row"
        )
    first = max(recorded + 1, _clock())
    connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART WITH {}").format(name, sql.Literal(first)))
    _log.warning(
        "%s.load_fence stood at %d, below %d in load_ledger (was the database restored?): it goes on at %d",
        schema, drawn, recorded, first,
    )  # fmt: skip


# Half of what a bigint holds: the clock's milliseconds have 41 bits
_LARGEST = 2**62


def read(connection: Connection, schema: str, dataset: str, month: Month | None) -> Entry | None:
    """Return the entry of `dataset` for `month`, or None when it is not loaded."""
    one = _one(dataset, month.first_day if month else None)
    query = sql.SQL("SELECT {} FROM {} WHERE {}").format(_COLUMNS, _name(schema), one)
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(query).fetchone()


def schemas(connection: Connection) -> tuple[list[str], list[str]]:
    """Return the schemas whose ledger we may read, and those whose table of that name is not ours, or closed to us."""
    query = """
        SELECT nspname::text,
               has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AND %s <@ ARRAY(
                   SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE relname = 'load_ledger' AND relkind IN ('r', 'p', 'v') ORDER BY 1
    """
    found = connection.execute(query, [_NAMES]).fetchall()
    return [name for name, ours in found if ours], [name for name, ours in found if not ours]


def datasets(connection: Connection, schema: str) -> list[str]:
    """Return the monthly datasets that the schema holds: one, unless an earlier version loaded more."""
    query = sql.SQL("SELECT DISTINCT dataset FROM {} WHERE month IS NOT NULL ORDER BY dataset")
    return [name for (name,) in connection.execute(query.format(_name(schema))).fetchall()]


def entries(connection: Connection, schema: str) -> Iterator[Entry]:
    """Return all entries, in order of dataset and month."""
    query = sql.SQL("SELECT {} FROM {} ORDER BY dataset, month").format(_COLUMNS, _name(schema))
    with connection.cursor(row_factory=class_row(Entry)) as cursor:
        yield from cursor.execute(query)


def has_history(connection: Connection, schema: str) -> bool | None:
    """Return whether we may read what was loaded before; None where an earlier version loaded, and kept none of it."""
    name = _name(schema, "load_history").as_string(connection)
    row = connection.execute("SELECT has_table_privilege(to_regclass(%s), 'SELECT')", [name]).fetchone()
    return row[0] if row else None


def publications(connection: Connection, schema: str) -> list[Publication]:
    """Return what is loaded, and what was before as far as `has_history`: by dataset and month, the oldest first."""
    query = sql.SQL("SELECT {}, true FROM {}").format(_COLUMNS, _name(schema))
    if has_history(connection, schema):
        # One statement: between two of them, a load may move a row
        replaced = sql.SQL("SELECT {}, false FROM {}").format(_EVERY, _name(schema, "load_history"))
        query = sql.SQL("{} UNION ALL {}").format(query, replaced)
    # An attempt that began before the last publication publishes nothing, so tokens sort by time
    query = sql.SQL("{} ORDER BY dataset, month, fence").format(query)
    names = [*_NAMES, _ADDED]
    return [
        Publication(Entry(**dict(zip(names, values, strict=True))), is_current)
        for *values, is_current in connection.execute(query).fetchall()
    ]


def same_bytes(connection: Connection, schema: str, dataset: str, month: Month, sha256: str) -> list[str]:
    """Return the files of other months of `dataset` that were loaded from the same bytes."""
    query = sql.SQL(
        "SELECT source_file FROM {} WHERE dataset = {} AND month <> {} AND source_sha256 = {} ORDER BY month"
    )
    words = map(sql.Literal, (dataset, month.first_day, sha256))
    return [name for (name,) in connection.execute(query.format(_name(schema), *words)).fetchall()]


def write(connection: Connection, schema: str, entry: Entry) -> Entry:
    """Record `entry` in place of an earlier one of its dataset and month, which moves to the history.

    Return it with its `seen`, drawn now.
    """
    move = sql.SQL(
        "WITH replaced AS (DELETE FROM {} WHERE {} RETURNING {every}) INSERT INTO {} ({every}) TABLE replaced"
    )
    one, history = _one(entry.dataset, entry.month), _name(schema, "load_history")
    connection.execute(move.format(_name(schema), one, history, every=_EVERY))
    # The server's sequence and clock set the other two
    given = {name: value for name, value in asdict(entry).items() if name not in ("seen", "loaded_at")}
    values = sql.SQL(", ").join(map(sql.Literal, given.values()))
    columns = sql.SQL(", ").join(map(sql.Identifier, [*given, "seen"]))
    query = sql.SQL("INSERT INTO {} ({}) VALUES ({}, {}) RETURNING seen")
    return _seen(connection, entry, query.format(_name(schema), columns, values, _now(connection, schema)))


def confirm(connection: Connection, schema: str, entry: Entry) -> Entry:
    """Record that the source still had the bytes of `entry`; return it with its `seen`, drawn now."""
    query = sql.SQL("UPDATE {} SET seen = {} WHERE {} RETURNING seen")
    one = _one(entry.dataset, entry.month)
    return _seen(connection, entry, query.format(_name(schema), _now(connection, schema), one))


def _now(connection: Connection, schema: str) -> sql.Composed:
    name = sql.Identifier(schema, "load_fence").as_string(connection)
    return sql.SQL("nextval({}::regclass)").format(sql.Literal(name))


def _seen(connection: Connection, entry: Entry, query: sql.Composed) -> Entry:
    row = connection.execute(query).fetchone()
    assert row is not None
    return replace(entry, seen=int(row[0]))


def _one(dataset: str, month: dt.date | None) -> sql.Composed:
    return _IS_ONE.format(sql.Literal(dataset), sql.Literal(month))


def _name(schema: str, table: str = _TABLES[0]) -> sql.Identifier:
    return sql.Identifier(schema, table)
