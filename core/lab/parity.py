"""Are the tables of several schemas the same? Compared by digest, against one schema: the golden run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core import digest
from core.database import Connection
from core.digest import Digest
from core.errors import UsageError

TABLES = ("raw_trips", "raw_zones", "stg_trips", "stg_zones", "fct_trips", "daily_borough_stats")
"""What a pipeline leaves, in the order in which it is made."""


@dataclass(frozen=True)
class Row:
    """One table: its digest by schema, None where it does not exist; and by schema the months that differ."""

    table: str
    digests: dict[str, Digest | None]
    months: dict[str, list[str]]


@dataclass(frozen=True)
class Parity:
    """The comparison of `schemas`, the golden one first. `absent` are schemas asked for that do not exist."""

    golden: str
    schemas: list[str]
    absent: list[str]
    rows: list[Row]

    @property
    def differing(self) -> list[Row]:
        """The tables that are not the same everywhere, or nowhere."""
        return [row for row in self.rows if None in row.digests.values() or len(set(row.digests.values())) > 1]

    @property
    def identical(self) -> bool:
        """True when there is something to compare, and every table is the same in every schema."""
        return len(self.schemas) > 1 and not self.differing

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
        }


def compare(connection: Connection, schemas: Sequence[str], control: str) -> Parity:
    """Compare the tables of `schemas` in one snapshot. `control` is the golden run when it exists, else the first that does.

    Raise `UsageError` when none of them exists.
    """
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    there = [
        schema for schema in sorted(schemas, key=lambda schema: schema != control) if _has_schema(connection, schema)
    ]
    if not there:
        raise UsageError(f"nothing is loaded: no schema {', '.join(schemas)}; run `triptych backfill` first")
    rows = [_row(connection, table, there) for table in TABLES]
    return Parity(there[0], there, [schema for schema in schemas if schema not in there], rows)


def _row(connection: Connection, table: str, schemas: list[str]) -> Row:
    digests = {
        schema: digest.table(connection, schema, table) if _columns(connection, schema, table) else None
        for schema in schemas
    }
    golden, *others = schemas
    differ = [schema for schema in others if digests[schema] != digests[golden]]
    return Row(table, digests, {schema: _months(connection, table, golden, schema) for schema in differ})


def _months(connection: Connection, table: str, golden: str, schema: str) -> list[str]:
    """The months in which two schemas differ; empty for a table that is not kept by month."""
    if any("source_month" not in _columns(connection, each, table) for each in (golden, schema)):
        return []
    ours, theirs = (digest.by_month(connection, each, table) for each in (schema, golden))
    return sorted(month for month in ours.keys() | theirs.keys() if ours.get(month) != theirs.get(month))


def _has_schema(connection: Connection, schema: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is not None


def _columns(connection: Connection, schema: str, table: str) -> list[str]:
    query = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    return [name for (name,) in connection.execute(query, [schema, table])]
