"""The marts as readers see them: published in one transaction, and recorded by month in `mart_ledger`.

    write      dbt builds `<mart>__unpublished`: the rows of the months of one build, and no others
    audit      dbt tests those tables; nobody else reads them
    publish    one transaction replaces the rows of these months in every mart, and records what is there now

A mart is replaced by DELETE and INSERT, never by another table under its name: a reader whose snapshot is older than the
publication finds the old rows, and would find a new table empty (docs/decisions/0009). So at any isolation level a reader sees
all marts as one build left them. Only where a mart does not exist yet, or where its columns changed, does the built table
take its name.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from core import digest
from core.database import Connection
from core.digest import Digest
from core.errors import TransformFailed

UNPUBLISHED = "__unpublished"
"""What the name of a built table ends with: the alias in the model's config."""

LEDGER = "mart_ledger"


@dataclass(frozen=True)
class Mart:
    """A published table. `month` is the month by which its rows are recorded, `replaced` which rows a build replaces."""

    name: str
    month: sql.SQL
    replaced: sql.SQL


MARTS = (
    Mart("fct_trips", month=sql.SQL("source_month"), replaced=sql.SQL("source_month = ANY ({months})")),
    Mart(
        "daily_borough_stats",
        # A date is made from every source month that has rows of it. So it is recorded by its own month.
        month=sql.SQL("date_trunc('month', pickup_date)::date"),
        replaced=sql.SQL("source_months && {months} OR pickup_date IN (SELECT pickup_date FROM {built})"),
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


def publish(connection: Connection, schema: str, months: Sequence[dt.date] | None) -> list[str]:
    """Replace the rows of `months` (None: all rows) in every mart by what dbt built, and record them.

    Return the names of the marts that were replaced as tables because their columns changed. Call it in a transaction:
    readers see nothing of it before the commit. Raise `TransformFailed` when a mart has other columns than a build of
    some months.
    """
    replaced = []
    for mart in MARTS:
        old, new = (_columns(connection, schema, name) for name in (mart.name, mart.name + UNPUBLISHED))
        if old and old != new and months is not None:
            raise TransformFailed(
                f"{schema}.{mart.name} has other columns than its model: drop it, then run again to build all months"
            )
        if old == new:
            recorded = _touched(connection, schema, mart, months)
            _replace_rows(connection, schema, mart, months)
        else:
            recorded = None
            _take_name(connection, schema, mart)
            replaced += [mart.name] if old else []
        _record(connection, schema, mart, recorded)
    _drop_built(connection, schema)
    return replaced


def damage(connection: Connection, schema: str, month: dt.date) -> str | None:
    """Say how the marts differ in number of rows from what the last publication left of `month`; None when they do not.

    Counts only, because each run asks: they take milliseconds. `triptych parity` compares the digests.
    """
    asked = {
        "fct_trips": (sql.SQL("source_month = {}").format(month), sql.SQL("month = {}").format(month)),
        # The dates of a source month may lie anywhere, and the whole table is small.
        "daily_borough_stats": (sql.SQL("true"), sql.SQL("true")),
    }
    for name, (rows_of, entries_of) in asked.items():
        query = sql.SQL(
            "SELECT (SELECT count(*) FROM {table} WHERE {rows_of}),"
            " (SELECT coalesce(sum(row_count), 0)::bigint FROM {ledger} WHERE model = {name} AND {entries_of})"
        ).format(
            table=sql.Identifier(schema, name), rows_of=rows_of, ledger=sql.Identifier(schema, LEDGER),
            name=name, entries_of=entries_of,
        )  # fmt: skip
        there, recorded = connection.execute(query).fetchall()[0]
        if there != recorded:
            return f"{name} has {there} rows where its last build left {recorded}"
    return None


def _touched(connection: Connection, schema: str, mart: Mart, months: Sequence[dt.date] | None) -> list[dt.date] | None:
    """The months whose record changes: those of the rows that go, and of those that come. None for all."""
    if months is None:
        return None
    query = sql.SQL("SELECT {month} FROM {table} WHERE {replaced} UNION SELECT {month} FROM {built}")
    return [month for (month,) in connection.execute(_compose(query, schema, mart, months))]


def _replace_rows(connection: Connection, schema: str, mart: Mart, months: Sequence[dt.date] | None) -> None:
    columns = sql.SQL(", ").join(sql.Identifier(name) for name, *_ in _columns(connection, schema, mart.name))
    delete = sql.SQL("DELETE FROM {table}" + (" WHERE {replaced}" if months is not None else ""))
    connection.execute(_compose(delete, schema, mart, months or ()))
    insert = sql.SQL("INSERT INTO {} ({columns}) SELECT {columns} FROM {}").format(
        sql.Identifier(schema, mart.name), sql.Identifier(schema, mart.name + UNPUBLISHED), columns=columns
    )
    connection.execute(insert)


def _compose(query: sql.SQL, schema: str, mart: Mart, months: Sequence[dt.date]) -> sql.Composed:
    built = sql.Identifier(schema, mart.name + UNPUBLISHED)
    replaced = mart.replaced.format(months=sql.Literal(list(months)) + sql.SQL("::date[]"), built=built)
    return query.format(month=mart.month, table=sql.Identifier(schema, mart.name), built=built, replaced=replaced)


def _take_name(connection: Connection, schema: str, mart: Mart) -> None:
    """Let the built table be the published one, with the names of its constraints."""
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(schema, mart.name)))
    built = mart.name + UNPUBLISHED
    connection.execute(
        sql.SQL("ALTER TABLE {} RENAME TO {}").format(sql.Identifier(schema, built), sql.Identifier(mart.name))
    )
    table = sql.Identifier(schema, mart.name)
    query = "SELECT conname::text FROM pg_constraint WHERE conrelid = %s::regclass AND starts_with(conname, %s)"
    for (name,) in connection.execute(query, [table.as_string(connection), built]).fetchall():
        rename = sql.SQL("ALTER TABLE {} RENAME CONSTRAINT {} TO {}")
        connection.execute(
            rename.format(table, sql.Identifier(name), sql.Identifier(mart.name + name.removeprefix(built)))
        )


def _record(connection: Connection, schema: str, mart: Mart, months: Sequence[dt.date] | None) -> None:
    """Write down the rows and the digest of `months` (None: all) as the mart now has them."""
    ledger = sql.Identifier(schema, LEDGER)
    which = sql.SQL("true") if months is None else sql.SQL("month = ANY ({}::date[])").format(list(months))
    connection.execute(sql.SQL("DELETE FROM {} WHERE model = {} AND {}").format(ledger, mart.name, which))
    found = digests(connection, schema, mart, months)
    insert = sql.SQL("INSERT INTO {} (model, month, row_count, content_digest) VALUES ({}, {}, {}, {})")
    for month, content in found.items():
        connection.execute(insert.format(ledger, mart.name, month, content.rows, content.hex))


def digests(
    connection: Connection, schema: str, mart: Mart, months: Sequence[dt.date] | None = None
) -> dict[dt.date, Digest]:
    """The digest of each month of a published mart, or of each of `months` that has rows."""
    return digest.by_key(connection, mart.month, schema, mart.name, months)


def _drop_built(connection: Connection, schema: str) -> None:
    names = sql.SQL(", ").join(sql.Identifier(schema, mart.name + UNPUBLISHED) for mart in MARTS)
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(names))


def _columns(connection: Connection, schema: str, name: str) -> list[tuple[str, str, bool]]:
    """Name, type and NOT NULL of each column of a table, in order; none when there is no such table."""
    query = """SELECT attname::text, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
               WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
    return connection.execute(query, [sql.Identifier(schema, name).as_string(connection)]).fetchall()
