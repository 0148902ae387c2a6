"""Are the tables of several schemas the same, and what their ledgers say? Compared by digest, against the golden run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from core import digest
from core.database import Connection
from core.digest import Digest
from core.errors import UsageError
from core.lab.audit import Finding, Held, audit

TABLES = ("raw_trips", "raw_zones", "stg_trips", "stg_zones", "fct_trips", "daily_borough_stats")
"""What a pipeline over green months leaves, in the order in which it is made."""


@dataclass(frozen=True)
class Row:
    """One table: its digest by schema, None where it does not exist; and by schema the months that differ."""

    table: str
    digests: dict[str, Digest | None]
    months: dict[str, list[str]]


@dataclass(frozen=True)
class Parity:
    """The comparison of `schemas`, the golden one first. `absent` are schemas asked for that do not exist.

    `rows` are the tables that anything was loaded into, and what is built from them. `findings` are what a schema holds
    otherwise than its own ledgers say.
    """

    golden: str
    schemas: list[str]
    absent: list[str]
    rows: list[Row]
    findings: list[Finding]

    @property
    def differing(self) -> list[Row]:
        """The tables that are not the same everywhere, or nowhere."""
        return [row for row in self.rows if None in row.digests.values() or len(set(row.digests.values())) > 1]

    @property
    def as_recorded(self) -> bool:
        """True when every table exists, is the same in every schema, and is as the ledgers say."""
        return not self.differing and not self.findings

    @property
    def identical(self) -> bool:
        """True when there is something to compare, and it is `as_recorded`."""
        return len(self.schemas) > 1 and self.as_recorded

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
            "as_recorded": self.as_recorded,
            "golden": self.golden,
            "absent": self.absent,
            "tables": tables,
            "differences": months,
            "findings": [finding.to_json() for finding in self.findings],
        }


def compare(connection: Connection, schemas: Sequence[str], control: str) -> Parity:
    """Compare the tables of `schemas` in one snapshot. `control` is the golden run when it exists, else the first that does.

    Loads and builds wait until the transaction ends. Raise `UsageError` when no schema exists, or nothing is loaded in any.
    """
    hold(connection, schemas)
    schemas = list(dict.fromkeys(schemas))  # one that is named twice has nothing to be compared with
    there = [
        schema for schema in sorted(schemas, key=lambda schema: schema != control) if _has_schema(connection, schema)
    ]
    held = {schema: {table: _held(connection, schema, table) for table in _tables()} for schema in there}
    loaded = {dataset for schema in there for dataset in _loaded(connection, schema)}
    tables = [table for table in _tables() if _is_compared(table, loaded, [held[schema][table] for schema in there])]
    if not tables:
        why = "nothing is loaded in" if there else "nothing is loaded: no schema"
        raise UsageError(f"{why} {', '.join(there or schemas)}; run `triptych backfill` first")
    absent = [schema for schema in schemas if schema not in there]
    findings = [finding for schema in there for finding in audit(connection, schema, held[schema])]
    rows = [_row(table, {schema: held[schema][table] for schema in there}) for table in tables]
    return Parity(there[0], there, absent, rows, findings)


def hold(connection: Connection, schemas: Sequence[str]) -> None:
    """Begin a transaction in which these schemas' tables are locked against being replaced before its snapshot is taken.

    A swapped-in month is frozen, so seen by a snapshot that is older, and the ledger's row of it is not: it would look
    unrecorded. And a table that was made anew would look empty. A lock takes no snapshot.
    """
    query = (
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) AND tablename = ANY(%s) ORDER BY 1, 2"
    )
    names = [*_tables(), "load_ledger", "transform_ledger", "mart_ledger"]
    there = connection.execute(query, [list(schemas), names]).fetchall()
    connection.rollback()
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    if there:
        tables = sql.SQL(", ").join(sql.Identifier(*name) for name in there)
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(tables))


def _tables() -> list[str]:
    """Every table that a load or a build can leave, in the order in which they are made."""
    # Not at the top: whatever shows a line imports this module, and need not wait for Arrow.
    from core.datasets import DATASETS

    raw = [dataset.table for dataset in DATASETS.values()]
    return [*raw, *(table for table in TABLES if table not in raw)]


def _loaded(connection: Connection, schema: str) -> list[str]:
    """The datasets that the load ledger names."""
    if not _columns(connection, schema, "load_ledger"):
        return []
    query = sql.SQL("SELECT DISTINCT dataset FROM {}").format(sql.Identifier(schema, "load_ledger"))
    return [dataset for (dataset,) in connection.execute(query)]


def _is_compared(table: str, loaded: Collection[str], held: Sequence[Held | None]) -> bool:
    """Whether a table belongs to what is loaded: a loader's table that a ledger names, or that has rows although none does;
    a model once a month for it is loaded, or where it exists although none is.
    """
    from core.datasets import DATASETS, GREEN

    dataset = next((dataset for dataset in DATASETS.values() if dataset.table == table), None)
    if dataset is None:
        return GREEN.name in loaded or any(each is not None for each in held)
    return dataset.name in loaded or any(digest.total((each or {}).values()).rows for each in held)


def _held(connection: Connection, schema: str, table: str) -> Held | None:
    from core.transform.marts import MARTS

    columns = _columns(connection, schema, table)
    for mart in MARTS:
        if table == mart.name and columns:
            return digest.by_month(connection, schema, table, mart.month)
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


def _has_schema(connection: Connection, schema: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is not None


def _columns(connection: Connection, schema: str, table: str) -> list[str]:
    query = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    return [name for (name,) in connection.execute(query, [schema, table])]
