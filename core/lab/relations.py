"""Tables and views as the catalog describes them, and which column holds the month of a row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from psycopg import sql
from psycopg.postgres import types

from core.database import Connection
from core.errors import UsageError, printable

KEY = "source_month"
"""The column that holds a row's month, unless the caller names another one."""

KINDS = ("r", "p", "v", "m", "f")
"""What can be compared: tables, partitioned tables, views, materialized views and foreign tables."""

# What a view computes may depend on the session, and PostgreSQL would hide rows that a policy forbids: with
# row_security off, it refuses the query instead.
_SESSION = (
    "SET LOCAL row_security = off",
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL IntervalStyle = 'postgres'",
    "SET LOCAL extra_float_digits = 1",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL xmlbinary = 'base64'",
    "SET LOCAL lc_monetary = 'C'",
    "SET LOCAL lc_numeric = 'C'",
    "SET LOCAL lc_time = 'C'",
)


class Column(NamedTuple):
    """A column: its name, and its type as a number and as it was declared."""

    name: str
    oid: int
    declared: str


@dataclass(frozen=True)
class Relation:
    """A table or view.

    `is_open` says whether this role may read it. `key` is the first day of a row's month as SQL over a table called
    ``t``, or None where no column holds a month.
    """

    schema: str
    name: str
    kind: str
    is_open: bool
    columns: tuple[Column, ...]
    key: sql.Composable | None = None

    def __str__(self) -> str:
        return named(self.schema, self.name)

    def by(self, column: str) -> Relation:
        """Return the same table with the month that `column` holds as its key, if it holds one."""
        return replace(self, key=next((month_of(each) for each in self.columns if each.name == column), None))


def named(*names: str) -> str:
    """Return a qualified name for a message: each part between quotes where SQL would need them."""
    return ".".join(
        name if re.fullmatch(r"[a-z_][a-z0-9_$]*", name) else '"{}"'.format(printable(name).replace('"', '""'))
        for name in names
    )


# --- the catalog ----------------------------------------------------------------------------------------------------


def find(connection: Connection, schemas: Sequence[str], names: Sequence[str] | None) -> list[Relation]:
    """Return the tables and views of `schemas` that are called `names`, in order of name.

    Without `names`, all of them but partitions, whose rows are those of the partitioned table.
    """
    query = """
        SELECT nspname, relname, relkind::text,
               has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
               ARRAY(SELECT ARRAY[attname::text, atttypid::oid::text, format_type(atttypid, atttypmod)]
                     FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum)
        FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname = ANY (%(schemas)s) AND relkind::text = ANY (%(kinds)s)
          AND (relname = ANY (%(names)s) OR %(names)s::text[] IS NULL AND NOT relispartition)
        ORDER BY relname, nspname
    """
    names = None if names is None else list(names)
    found = connection.execute(query, {"schemas": list(schemas), "kinds": list(KINDS), "names": names})
    return [
        Relation(schema, name, kind, is_open, tuple(Column(each, int(oid), text) for each, oid, text in columns))
        for schema, name, kind, is_open, columns in found
    ]


def hold(connection: Connection, schemas: Sequence[str], names: Sequence[str] | None) -> None:
    """Begin a transaction, and lock these tables against replacement before its snapshot is taken.

    The rows of a month that is swapped in are frozen, so an older snapshot sees them, but not the ledger's row: the
    month would look unrecorded. And a table that was created again would look empty. Taking a lock takes no snapshot.
    """
    existing = [each for each in find(connection, schemas, names) if each.kind in "rp" and each.is_open]
    connection.rollback()
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    for setting in _SESSION:
        connection.execute(setting)
    if existing:
        tables = sql.SQL(", ").join(sql.Identifier(each.schema, each.name) for each in existing)
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(tables))


def existing(connection: Connection, schemas: Sequence[str]) -> list[str]:
    """Return those of `schemas` that exist."""
    found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname = ANY (%s)", [list(schemas)])
    there = {name for (name,) in found}
    return [schema for schema in schemas if schema in there]


def check_schemas(connection: Connection, schemas: Sequence[str]) -> None:
    """Raise `UsageError` unless all of `schemas` exist."""
    there = existing(connection, schemas)
    if absent := [schema for schema in schemas if schema not in there]:
        raise UsageError(f"--schemas: there is no schema {', '.join(map(named, absent))} in this database")


# --- the month of a row ---------------------------------------------------------------------------------------------

# Only years that Python's dates know: a row of another year, or of infinity, has no month.
_OF_TIMESTAMP = sql.SQL(
    "CASE WHEN {when} >= '0001-01-01' AND {when} < '10000-01-01' THEN date_trunc('month', {when})::date END"
)
_OF_TEXT = sql.SQL(
    """CASE WHEN {text} COLLATE "C" ~ '^(?!0000)[0-9]{{4}}-(0[1-9]|1[0-2])$' THEN to_date({text}, 'YYYY-MM') END"""
)


def month_of(column: Column) -> sql.Composable | None:
    """Return the first day of the month that a column tells, as SQL over a table ``t``; None when it holds none.

    A date or a timestamp holds its month, a timestamp with time zone that of UTC, and a text ``YYYY-MM`` that month.
    """
    name = sql.Identifier("t", column.name)
    if column.oid == types["date"].oid:
        return _OF_TIMESTAMP.format(when=sql.SQL("{}::timestamp").format(name))
    if column.oid == types["timestamp"].oid:
        return _OF_TIMESTAMP.format(when=name)
    if column.oid == types["timestamptz"].oid:
        return _OF_TIMESTAMP.format(when=sql.SQL("({} AT TIME ZONE 'UTC')").format(name))
    if column.oid in {types[text].oid for text in ("text", "varchar", "bpchar")}:
        return _OF_TEXT.format(text=sql.SQL("{}::text").format(name))
    return None


def check_month_column(found: Sequence[Relation], column: str) -> None:
    """Raise `UsageError` unless some table has a column of that name, and each column of that name holds a month."""
    having = [(relation, each) for relation in found for each in relation.columns if each.name == column]
    if not having:
        tables = ", ".join(dict.fromkeys(named(relation.name) for relation in found))
        raise UsageError(f"--month-column {column}: no column of {tables} has this name")
    for relation, each in having:
        if month_of(each) is None:
            raise UsageError(
                f"--month-column {column}: {relation}.{named(column)} is {each.declared}, which holds no month; "
                "name a date, a timestamp, or a text like 2024-01"
            )
