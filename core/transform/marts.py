"""The marts as readers see them: published in one transaction, and recorded by month in `mart_ledger`.

    write      dbt builds `<mart>__unpublished`: the rows of the months of one build, and no others
    audit      dbt tests those tables; no reader knows them
    publish    one transaction replaces the rows of these months in every mart, and records what the marts hold now

A mart is replaced by DELETE and INSERT, never by another table under its name: a reader whose snapshot is older than
the publication sees the old rows, and would see a new table as empty (docs/decisions/0009). So at any isolation level a
reader sees all marts as one build left them. The built table takes a mart's name only where the mart does not exist
yet, or where its columns changed.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
from psycopg import sql

from core import digest
from core.database import Connection, connect
from core.digest import Digest
from core.errors import TransformFailed
from core.month import spans_of
from core.run import counted

log = logging.getLogger(__name__)

UNPUBLISHED = "__unpublished"
"""What the name of a built table ends with: the alias in the model's config."""

LEDGER = "mart_ledger"

Months = Sequence[dt.date] | None
"""First days of months, or None for all of them."""


@dataclass(frozen=True)
class Mart:
    """A published table.

    `month` is the month by which its rows are recorded. `replaced` says which rows a build of `months` replaces; with
    `whole_months`, those are all rows of the recorded months that it touches. `key` and `indexes` belong to the
    published table. A built one has none, because they would cost a month's build a tenth of its time: publication
    fails on rows that break the key.
    """

    name: str
    month: sql.SQL
    replaced: sql.SQL
    whole_months: bool
    key: tuple[str, ...]
    indexes: tuple[str, ...] = ()

    @property
    def built(self) -> str:
        """The name of the table that dbt builds."""
        return self.name + UNPUBLISHED


MARTS = (
    Mart(
        "fct_trips",
        month=sql.SQL("source_month"),
        replaced=sql.SQL("source_month = ANY ({months})"),
        whole_months=True,
        key=("source_month", "row_number"),
        indexes=("pickup_date",),
    ),
    Mart(
        "daily_borough_stats",
        # Rows of several source months make up a date, so a date is recorded by its own month.
        # As a timestamp, because date_trunc would take a date through the session's time zone.
        month=sql.SQL("date_trunc('month', pickup_date::timestamp)::date"),
        replaced=sql.SQL("source_months && {months} OR pickup_date IN (SELECT pickup_date FROM {built})"),
        whole_months=False,
        key=("pickup_date", "borough"),
    ),
)

_CREATE = sql.SQL(
    """
    CREATE TABLE IF NOT EXISTS {} (
        model text NOT NULL,
        month date NOT NULL,
        row_count bigint NOT NULL,
        content_digest text NOT NULL,
        built_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (model, month)
    )
    """
)


def create_ledger(connection: Connection, schema: str) -> None:
    """Create `mart_ledger` where it is missing."""
    connection.execute(_CREATE.format(sql.Identifier(schema, LEDGER)))


def publish(connection: Connection, schema: str, months: Months) -> list[str]:
    """Replace the rows of `months` in every mart with what dbt built, and record them.

    Return the names of the marts whose table was replaced because its columns changed. Call it in a transaction:
    readers see nothing of it before the commit. Raise `TransformFailed` when rows break a mart's key, or when a mart
    has other columns than a build of only some months.
    """
    replaced = []
    try:
        for mart in MARTS:
            old, new = _columns(connection, schema, mart.name), _columns(connection, schema, mart.built)
            if old == new:
                log.info("%s.%s: %s", schema, mart.name, _replace_rows(connection, schema, mart, months))
            elif old and months is not None:
                raise TransformFailed(
                    f"{schema}.{mart.name} has other columns than its model: "
                    "drop it, then run again to build all months"
                )
            else:
                log.info("%s.%s: %s", schema, mart.name, _replace_table(connection, schema, mart))
                replaced += [mart.name] if old else []
    except psycopg.errors.UniqueViolation as error:
        raise TransformFailed(f"{schema}: {error.diag.message_primary}: {error.diag.message_detail}") from error
    built = sql.SQL(", ").join(sql.Identifier(schema, mart.built) for mart in MARTS)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(built))
    return replaced


def damage(connection: Connection, schema: str, month: dt.date) -> str | None:
    """Return how the marts' numbers of rows differ from what the last build left of `month`; None when they do not.

    Every run calls this, so it only counts rows, in milliseconds. `triptych parity` compares the digests.
    """
    compared = {
        "fct_trips": (sql.SQL("source_month = {}").format(month), sql.SQL("month = {}").format(month)),
        # The dates of a source month may lie anywhere, and the whole table is small.
        "daily_borough_stats": (sql.SQL("true"), sql.SQL("true")),
    }
    for name, (rows, entries) in compared.items():
        query = sql.SQL(
            "SELECT (SELECT count(*) FROM {table} WHERE {rows}),"
            " (SELECT coalesce(sum(row_count), 0)::bigint FROM {ledger} WHERE model = {name} AND {entries})"
        )
        table, ledger = sql.Identifier(schema, name), sql.Identifier(schema, LEDGER)
        composed = query.format(table=table, rows=rows, ledger=ledger, name=name, entries=entries)
        there, recorded = connection.execute(composed).fetchall()[0]
        if there != recorded:
            return f"{name} has {counted(there, 'row')} where its last build left {recorded:,}"
    return None


def digests(
    connection: Connection, schema: str, mart: Mart, months: Months = None, *, built: bool = False
) -> dict[dt.date, Digest]:
    """Return the digest of each month (of `months`) that has rows in a published mart, or in its built table."""
    return digest.by_key(connection, mart.month, schema, mart.built if built else mart.name, months)


def rows(schema: str, month: dt.date) -> int:
    """Return how many rows of `month` are in ``fct_trips``."""
    with connect(f"transform {schema}") as connection:
        query = sql.SQL("SELECT count(*) FROM {} WHERE source_month = {}")
        return int(connection.execute(query.format(sql.Identifier(schema, "fct_trips"), month)).fetchall()[0][0])


def recorded(connection: Connection, schema: str, months: Months) -> dict[str, int]:
    """Return how many rows each mart has of `months`, as recorded.

    With some months only, a mart is left out whose rows belong to several of them.
    """
    names = [mart.name for mart in MARTS if mart.whole_months or months is None]
    which = sql.SQL("true") if months is None else sql.SQL("month = ANY ({}::date[])").format(list(months))
    query = sql.SQL("SELECT model, sum(row_count)::bigint FROM {} WHERE model = ANY ({}) AND {} GROUP BY 1")
    return dict(connection.execute(query.format(sql.Identifier(schema, LEDGER), names, which)).fetchall())


def _replace_rows(connection: Connection, schema: str, mart: Mart, months: Months) -> str:
    """Move the built rows into the published table, in place of those that they replace; return what was done."""
    if mart.whole_months and months is None:
        return _replace_changed_months(connection, schema, mart)
    touched = months if mart.whole_months else _touched(connection, schema, mart, months)
    with ThreadPoolExecutor(1) as pool:
        # Hashing a month takes about as long as moving it. A session of its own, to which the built rows are visible,
        # does it at the same time.
        hashed = pool.submit(_hash_built, schema, mart) if mart.whole_months else None
        _move(connection, schema, mart, months)
    found = hashed.result() if hashed else digests(connection, schema, mart, touched)
    record(connection, schema, mart, touched, found)
    replaced = "all months" if touched is None else spans_of(touched) or "no month"
    return f"replaced the rows of {replaced}, now {counted(digest.total(found.values()).rows, 'row')}"


def _replace_changed_months(connection: Connection, schema: str, mart: Mart) -> str:
    """Move the months whose rows a build of all months changed, or that have lost rows since they were recorded.

    A change of the project seldom changes a row, and a month that is not rewritten leaves no dead rows. Return what was
    done.
    """
    found = digests(connection, schema, mart, built=True)
    query = sql.SQL(
        "SELECT month, coalesce(row_count, 0) = coalesce(rows, 0), content_digest"
        " FROM (SELECT {month} AS month, count(*) AS rows FROM {table} GROUP BY 1) AS there"
        " FULL JOIN (SELECT month, row_count, content_digest FROM {ledger} WHERE model = {name}) AS recorded"
        " USING (month)"
    ).format(
        month=mart.month, table=sql.Identifier(schema, mart.name), ledger=sql.Identifier(schema, LEDGER), name=mart.name
    )
    published = {month: content if whole else None for month, whole, content in connection.execute(query)}
    changed = [
        month
        for month in sorted(published.keys() | found.keys())
        if month not in found or published.get(month) != found[month].hex
    ]
    if changed:
        _move(connection, schema, mart, changed)
        record(connection, schema, mart, changed, found)
    same = spans_of(found.keys() - set(changed)) or "no month"
    return (
        f"replaced the rows of {spans_of(changed) or 'no month'}, left those of {same} alone because they are the same"
    )


_INSERT = sql.SQL("INSERT INTO {table} ({columns}) SELECT {columns} FROM {built}")
_INSERT_MONTHS = sql.SQL("INSERT INTO {table} ({columns}) SELECT {columns} FROM {built} WHERE {replaced}")


def _move(connection: Connection, schema: str, mart: Mart, months: Months) -> None:
    """Delete the published rows that `months` replace, and insert the built ones."""
    columns = sql.SQL(", ").join(sql.Identifier(name) for name, *_ in _columns(connection, schema, mart.name))
    connection.execute(_compose(sql.SQL("DELETE FROM {table} WHERE {replaced}"), schema, mart, months))
    insert = _INSERT_MONTHS if mart.whole_months else _INSERT
    connection.execute(_compose(insert, schema, mart, months, columns=columns))


def _touched(connection: Connection, schema: str, mart: Mart, months: Months) -> Months:
    """Return the recorded months whose rows change: those of the rows that go, and of those that come."""
    if months is None:
        return None
    query = sql.SQL("SELECT {month} FROM {table} WHERE {replaced} UNION SELECT {month} FROM {built}")
    return [month for (month,) in connection.execute(_compose(query, schema, mart, months)).fetchall()]


def _compose(query: sql.SQL, schema: str, mart: Mart, months: Months, **more: sql.Composable) -> sql.Composed:
    built = sql.Identifier(schema, mart.built)
    replaced = (
        sql.SQL("true")
        if months is None
        else mart.replaced.format(months=sql.SQL("{}::date[]").format(list(months)), built=built)
    )
    table = sql.Identifier(schema, mart.name)
    return query.format(month=mart.month, table=table, built=built, replaced=replaced, **more)


def _hash_built(schema: str, mart: Mart) -> dict[dt.date, Digest]:
    with connect(f"digest {schema} {mart.name}") as connection:
        # The other core is busy moving the rows
        connection.execute("SET max_parallel_workers_per_gather = 0")
        return digests(connection, schema, mart, built=True)


def _replace_table(connection: Connection, schema: str, mart: Mart) -> str:
    """Make the built table the published one, with key and indexes; return what was done."""
    table, built = sql.Identifier(schema, mart.name), sql.Identifier(schema, mart.built)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(built, sql.Identifier(mart.name)))
    key = sql.SQL(", ").join(map(sql.Identifier, mart.key))
    connection.execute(sql.SQL("ALTER TABLE {} ADD PRIMARY KEY ({})").format(table, key))
    for column in mart.indexes:
        connection.execute(sql.SQL("CREATE INDEX ON {} ({})").format(table, sql.Identifier(column)))
    found = digests(connection, schema, mart)
    record(connection, schema, mart, None, found)
    return f"a new table with {counted(digest.total(found.values()).rows, 'row')}"


def record(connection: Connection, schema: str, mart: Mart, months: Months, found: Mapping[dt.date, Digest]) -> None:
    """Record rows and digest of `months`, as `found` has them; a month that is not in `found` has no rows."""
    ledger = sql.Identifier(schema, LEDGER)
    which = sql.SQL("true") if months is None else sql.SQL("month = ANY ({}::date[])").format(list(months))
    connection.execute(sql.SQL("DELETE FROM {} WHERE model = {} AND {}").format(ledger, mart.name, which))
    insert = sql.SQL("INSERT INTO {} (model, month, row_count, content_digest) VALUES ({}, {}, {}, {})")
    for month in found if months is None else [month for month in months if month in found]:
        content = found[month]
        connection.execute(insert.format(ledger, mart.name, month, content.rows, content.hex))


def _columns(connection: Connection, schema: str, name: str) -> list[tuple[str, str, bool]]:
    """Return name, type and NOT NULL of each column of a table, in order; none when there is no such table."""
    query = """SELECT attname::text, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
               WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
    return connection.execute(query, [sql.Identifier(schema, name).as_string(connection)]).fetchall()
