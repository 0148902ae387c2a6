"""Are the tables of several schemas the same, and what their ledgers say? Compared by digest, against the golden run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from core import digest, ledger
from core.database import Connection
from core.digest import Digest
from core.errors import UsageError

TABLES = ("raw_trips", "raw_zones", "stg_trips", "stg_zones", "fct_trips", "daily_borough_stats")
"""What a pipeline leaves, in the order in which it is made."""

Held = dict[str, Digest]
"""What a table holds: the digest of each month, or of all under the empty string where it is not kept by month."""


@dataclass(frozen=True)
class Row:
    """One table: its digest by schema, None where it does not exist; and by schema the months that differ."""

    table: str
    digests: dict[str, Digest | None]
    months: dict[str, list[str]]


@dataclass(frozen=True)
class Parity:
    """The comparison of `schemas`, the golden one first. `absent` are schemas asked for that do not exist.

    `unrecorded` are what they hold otherwise than their ledgers say: ``plain.raw_trips 2024-01``.
    """

    golden: str
    schemas: list[str]
    absent: list[str]
    rows: list[Row]
    unrecorded: list[str]

    @property
    def differing(self) -> list[Row]:
        """The tables that are not the same everywhere, or nowhere."""
        return [row for row in self.rows if None in row.digests.values() or len(set(row.digests.values())) > 1]

    @property
    def identical(self) -> bool:
        """True when there is something to compare, and every table is the same in every schema, and as recorded."""
        return len(self.schemas) > 1 and not self.differing and not self.unrecorded

    def to_json(self) -> dict[str, Any]:
        """The shape of ``triptych parity --json``; a table that does not exist is null."""
        tables = [
            {"table": row.table}
            | {schema: found and {"rows": found.rows, "digest": found.hex} for schema, found in row.digests.items()}
            for row in self.rows
        ]
        months = [
            {"table": row.table, "schema": schema, "months": days}
            for row in self.rows
            for schema, days in row.months.items()
        ]
        return {
            "identical": self.identical,
            "golden": self.golden,
            "absent": self.absent,
            "tables": tables,
            "differences": months,
            "unrecorded": self.unrecorded,
        }


def compare(connection: Connection, schemas: Sequence[str], control: str) -> Parity:
    """Compare the tables of `schemas` in one snapshot. `control` is the golden run when it exists, else the first that does.

    Loads and builds wait meanwhile. Raise `UsageError` when no schema exists.
    """
    hold(connection, schemas)
    schemas = list(dict.fromkeys(schemas))  # one that is named twice has nothing to be compared with
    there = [
        schema for schema in sorted(schemas, key=lambda schema: schema != control) if _has_schema(connection, schema)
    ]
    if not there:
        raise UsageError(f"nothing is loaded: no schema {', '.join(schemas)}; run `triptych backfill` first")
    held = {table: {schema: _held(connection, schema, table) for schema in there} for table in TABLES}
    absent = [schema for schema in schemas if schema not in there]
    unrecorded = [
        line
        for schema in there
        for line in _unrecorded(connection, schema, {table: held[table][schema] for table in TABLES})
    ]
    return Parity(there[0], there, absent, [_row(table, held[table]) for table in TABLES], unrecorded)


def hold(connection: Connection, schemas: Sequence[str]) -> None:
    """Begin a transaction in which these schemas' tables are locked against being replaced before its snapshot is taken.

    A swapped-in month is frozen, so seen by a snapshot that is older, and the ledger's row of it is not: it would look
    unrecorded. And a table that was made anew would look empty. A lock takes no snapshot.
    """
    query = (
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) AND tablename = ANY(%s) ORDER BY 1, 2"
    )
    there = connection.execute(query, [list(schemas), [*TABLES, "load_ledger"]]).fetchall()
    connection.rollback()
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    if there:
        names = sql.SQL(", ").join(sql.Identifier(*name) for name in there)
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(names))


def _held(connection: Connection, schema: str, table: str) -> Held | None:
    columns = _columns(connection, schema, table)
    if "source_month" in columns:
        return digest.by_month(connection, schema, table)
    return {"": digest.table(connection, schema, table)} if columns else None


def _row(table: str, held: dict[str, Held | None]) -> Row:
    """`held` by schema, the golden one first."""
    digests = {schema: None if months is None else digest.total(months.values()) for schema, months in held.items()}
    golden, *others = held
    differ = [schema for schema in others if digests[schema] != digests[golden]]
    return Row(table, digests, {schema: _differing_months(held[schema], held[golden]) for schema in differ})


def _differing_months(ours: Held | None, theirs: Held | None) -> list[str]:
    """Empty where a table is missing, or not kept by month."""
    if ours is None or theirs is None:
        return []
    return sorted(month for month in ours.keys() | theirs.keys() if month and ours.get(month) != theirs.get(month))


def _unrecorded(connection: Connection, schema: str, held: dict[str, Held | None]) -> Iterator[str]:
    """What the loader's tables hold otherwise than the ledger says. The loader took that from the files, not from the tables."""
    # Not at the top: whatever shows a line imports this module, and need not wait for Arrow.
    from core.schema import MODELLED

    entries = list(ledger.entries(connection, schema)) if _columns(connection, schema, "load_ledger") else []
    empty = digest.total([])
    for dataset in MODELLED:
        recorded = {
            f"{entry.month:%Y-%m}" if entry.month else "": entry.content_digest
            for entry in entries
            if entry.dataset == dataset.name
        }
        there = held[dataset.table] or {}
        for month in sorted(recorded.keys() | there.keys()):
            if recorded.get(month, empty.hex) != there.get(month, empty).hex:
                yield f"{schema}.{dataset.table} {month}".rstrip()


def _has_schema(connection: Connection, schema: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is not None


def _columns(connection: Connection, schema: str, table: str) -> list[str]:
    query = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    return [name for (name,) in connection.execute(query, [schema, table])]
