"""Whether the tables of several schemas equal the baseline's, by digest, and are as their own ledgers say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from core import digest, ledger
from core.database import Connection
from core.digest import Digest
from core.errors import UsageError
from core.lab.audit import Finding, Held, audit
from core.lab.causes import Cause, Loaded, causes
from core.lab.causes import loaded as loaded_by

TABLES = ("raw_trips", "raw_zones", "stg_trips", "stg_zones", "fct_trips", "daily_borough_stats")
"""The tables that a pipeline over green months leaves, in the order in which they are made."""


BY_SOURCE_MONTH = ("raw_trips", "stg_trips", "fct_trips")
"""Those of `TABLES` whose rows belong to a month's file."""


@dataclass(frozen=True)
class Row:
    """One table: its digest by schema, None where it does not exist, and by schema the months that differ."""

    table: str
    digests: dict[str, Digest | None]
    months: dict[str, list[str]]


@dataclass(frozen=True)
class Parity:
    """The comparison of `schemas`, the baseline first. `absent` are the requested schemas that do not exist.

    `rows` are the tables that anything was loaded into, and those built from them. `findings` are where a schema is not
    as its own ledgers say.
    """

    baseline: str
    """The schema that the others are compared with: `plain`, or the first one where there is no `plain`."""
    schemas: list[str]
    absent: list[str]
    rows: list[Row]
    findings: list[Finding]
    causes: list[Cause] = field(default_factory=list)
    """Why schemas differ from the baseline, as far as their ledgers tell."""
    common: list[str] = field(default_factory=list)
    """The months of green trips that every schema has loaded, from the same bytes."""

    @property
    def differing(self) -> list[Row]:
        """The tables that differ between schemas, or are missing in one."""
        return [row for row in self.rows if None in row.digests.values() or len(set(row.digests.values())) > 1]

    @property
    def as_recorded(self) -> bool:
        """True when every table exists, is equal in every schema, and is as the ledgers say."""
        return not self.differing and not self.findings

    @property
    def identical(self) -> bool:
        """True when there is something to compare, and it is `as_recorded`."""
        return len(self.schemas) > 1 and self.as_recorded

    @property
    def common_identical(self) -> bool:
        """True when no table that is kept by source month differs in a month of `common`."""
        by_month = [row for row in self.rows if row.table in BY_SOURCE_MONTH]
        return not any(set(self.common) & set(months) for row in by_month for months in row.months.values())

    def unexplained(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield schema, table, and months (none: all) of each difference for which `causes` has no cause."""
        for row in self.rows:
            for schema, months in row.months.items():
                told = {month for cause in self.causes if cause.schema == schema for month in cause.months}
                # A date of the stats may have trips of any month, so those of a month with a cause differ anywhere.
                left = [each for each in months if each not in told] if row.table in BY_SOURCE_MONTH or not told else []
                if left or not months:
                    yield schema, row.table, left

    def to_json(self) -> dict[str, Any]:
        """Return what ``triptych parity --json`` writes; a table that does not exist is null."""
        tables = [
            {"table": row.table}
            | {schema: each and {"rows": each.rows, "digest": each.hex} for schema, each in row.digests.items()}
            for row in self.rows
        ]
        months = [
            {"table": row.table, "schema": schema, "months": differing}
            for row in self.rows
            for schema, differing in row.months.items()
        ]
        return {
            "identical": self.identical,
            "as_recorded": self.as_recorded,
            "baseline": self.baseline,
            "absent": self.absent,
            "tables": tables,
            "differences": months,
            "findings": [finding.to_json() for finding in self.findings],
            "causes": [cause.to_json() for cause in self.causes],
            "common": {"months": self.common, "identical": self.common_identical},
        }


def compare(connection: Connection, schemas: Sequence[str], baseline: str) -> Parity:
    """Compare the tables of `schemas` with those of `baseline`, in one snapshot.

    Where `baseline` does not exist, the first schema takes its place. Loads and builds wait until the transaction ends.
    Raise `UsageError` when no schema exists, or nothing is loaded in any.
    """
    hold(connection, schemas)
    # A schema that is named twice must not be compared with itself.
    schemas = list(dict.fromkeys(schemas))
    ordered = sorted(schemas, key=lambda schema: schema != baseline)
    present = [schema for schema in ordered if _has_schema(connection, schema)]
    held = {schema: {table: _held(connection, schema, table) for table in _tables()} for schema in present}
    loaded = {dataset for schema in present for dataset in _loaded(connection, schema)}
    tables = [table for table in _tables() if _is_compared(table, loaded, [held[schema][table] for schema in present])]
    if not tables:
        why = "nothing is loaded in" if present else "nothing is loaded: no schema"
        raise UsageError(f"{why} {', '.join(present or schemas)}; run `triptych backfill` first")
    absent = [schema for schema in schemas if schema not in present]
    findings = [finding for schema in present for finding in audit(connection, schema, held[schema])]
    rows = [_row(table, {schema: held[schema][table] for schema in present}) for table in tables]
    ledgers = {schema: loaded_by(_entries(connection, schema)) for schema in present}
    first = present[0]
    told = [cause for schema in present[1:] for cause in causes(first, ledgers[first], schema, ledgers[schema])]
    return Parity(first, present, absent, rows, findings, told, _common(ledgers, told))


def _entries(connection: Connection, schema: str) -> list[ledger.Entry]:
    return list(ledger.entries(connection, schema)) if _columns(connection, schema, "load_ledger") else []


def _common(ledgers: Mapping[str, Loaded], told: Sequence[Cause]) -> list[str]:
    apart = {month for cause in told if cause.kind == "other bytes" for month in cause.months}
    every = [{month for dataset, month in loaded if dataset == "green"} for loaded in ledgers.values()]
    return sorted(set.intersection(*every) - apart)


def hold(connection: Connection, schemas: Sequence[str]) -> None:
    """Begin a transaction, and lock these schemas' tables against replacement before its snapshot is taken.

    The rows of a month that is swapped in are frozen, so an older snapshot sees them, but not the ledger's row: the
    month would look unrecorded. And a table that was created again would look empty. Taking a lock takes no snapshot.
    """
    query = (
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) AND tablename = ANY(%s) ORDER BY 1, 2"
    )
    names = [*_tables(), "load_ledger", "transform_ledger", "mart_ledger"]
    existing = connection.execute(query, [list(schemas), names]).fetchall()
    connection.rollback()
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    if existing:
        tables = sql.SQL(", ").join(sql.Identifier(*name) for name in existing)
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(tables))


def _tables() -> list[str]:
    """Return every table that a load or a build can leave, in the order in which they are made."""
    # Not at the top: `display` imports this module for every command, which need not wait for Arrow.
    from core.datasets import DATASETS

    raw = [dataset.table for dataset in DATASETS.values()]
    return [*raw, *(table for table in TABLES if table not in raw)]


def _loaded(connection: Connection, schema: str) -> list[str]:
    """Return the datasets that the load ledger names."""
    if not _columns(connection, schema, "load_ledger"):
        return []
    query = sql.SQL("SELECT DISTINCT dataset FROM {}").format(sql.Identifier(schema, "load_ledger"))
    return [dataset for (dataset,) in connection.execute(query)]


def _is_compared(table: str, loaded: Collection[str], held: Sequence[Held | None]) -> bool:
    """Return whether a table belongs to what is loaded.

    A raw table does when a ledger names its dataset, or when it has rows although none does. A model does when a month
    for it is loaded, or when it exists although none is.
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
    """Build a row from what each schema holds of the table, the baseline first."""
    digests = {schema: None if months is None else digest.total(months.values()) for schema, months in held.items()}
    baseline, *others = held
    differ = [schema for schema in others if digests[schema] != digests[baseline]]
    return Row(table, digests, {schema: _differing_months(held[schema], held[baseline]) for schema in differ})


def _differing_months(ours: Held | None, theirs: Held | None) -> list[str]:
    """Return the months that differ: none where a table is missing, or not kept by month."""
    if ours is None or theirs is None:
        return []
    return sorted(month for month in ours.keys() | theirs.keys() if month and ours.get(month) != theirs.get(month))


def _has_schema(connection: Connection, schema: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is not None


def _columns(connection: Connection, schema: str, table: str) -> list[str]:
    query = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"
    return [name for (name,) in connection.execute(query, [schema, table])]
