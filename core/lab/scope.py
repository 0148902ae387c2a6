"""Which tables a comparison is about, and which column holds the month of a row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from psycopg import sql

from core import digest, ledger
from core.database import Connection
from core.datasets import DATASETS, TRIPS, ZONES, monthly
from core.errors import UsageError
from core.lab import relations
from core.lab.compare import Row
from core.lab.relations import KEY, Relation, named
from core.month import Month

TABLES = ("raw_trips", "raw_zones", "stg_trips", "stg_zones", "fct_trips", "daily_borough_stats")
"""The tables that a pipeline over months of a dataset leaves, in the order in which they are made."""

BY_DATE = "daily_borough_stats"
"""The one of them whose rows are made from several months' files: its month is that of the date."""

LEDGERS = ("load_ledger", "transform_ledger", "mart_ledger")


@dataclass(frozen=True)
class Scope:
    """What a comparison is narrowed to: tables by name, the months of their rows, and the column that holds these."""

    names: Sequence[str] | None = None
    months: Sequence[Month] | None = None
    month_column: str | None = None

    def has(self, month: str) -> bool:
        """Return whether a month (empty: of what is not kept by month) was asked for."""
        return self.months is None or not month or month in map(str, self.months)


ALL = Scope()


def pipeline_tables() -> list[str]:
    """Return every table that a load or a build can leave, in the order in which they are made."""
    return [*dict.fromkeys((*(dataset.table for dataset in DATASETS.values()), *TABLES))]


def made_of(table: str) -> tuple[str, ...]:
    """Return the datasets that a table of the pipeline may be made of; none for another table."""
    trips, zones = monthly(), (ZONES.name,)
    alone = {TRIPS: trips, "stg_trips": trips, ZONES.table: zones, "stg_zones": zones}
    return {**dict.fromkeys(pipeline_tables(), (*trips, *zones)), **alone}.get(table, ())


def with_ledgers(connection: Connection, schemas: Sequence[str]) -> list[str]:
    """Return the schemas that have a ledger of ours. Somebody else's table may be called ``load_ledger`` too."""
    names = {each.name for each in fields(ledger.Entry)}
    tables = relations.find(connection, schemas, LEDGERS)
    ours = {each.schema for each in tables if each.name != LEDGERS[0] or names <= {one.name for one in each.columns}}
    return [schema for schema in schemas if schema in ours]


def tables_of(
    connection: Connection, schemas: Sequence[str], scope: Scope, *, is_ours: bool
) -> dict[str, dict[str, Relation]]:
    """Return the tables to compare, by name and schema, in order. Raise `UsageError` when no schema has one."""
    names = scope.names or (pipeline_tables() if is_ours else None)
    existing = relations.find(connection, schemas, names)
    if scope.month_column is not None:
        relations.check_month_column(existing, scope.month_column)
    tables: dict[str, dict[str, Relation]] = {name: {} for name in names or [each.name for each in existing]}
    for relation in sorted(existing, key=lambda each: schemas.index(each.schema)):
        tables[relation.name][relation.schema] = _keyed(relation, scope.month_column, is_ours=is_ours)
    for name in scope.names or ():
        if not tables[name]:
            raise UsageError(f"--tables: no table or view {named(name)} in {', '.join(map(named, schemas))}")
    return tables


def _keyed(relation: Relation, month_column: str | None, *, is_ours: bool) -> Relation:
    """Return the table with the key of its rows' months."""
    from core.transform.marts import MARTS

    if month_column is None and is_ours:
        for mart in MARTS:
            if relation.name == mart.name:
                return replace(relation, key=mart.month)
        if relation.name in pipeline_tables() and any(column.name == KEY for column in relation.columns):
            return replace(relation, key=sql.SQL("source_month"))
    return relation.by(month_column or KEY)


def without_month(tables: Mapping[str, Mapping[str, Relation]]) -> list[str]:
    """Return the tables without a key. Raise `UsageError` when none has one: there are no months to ask for."""
    existing = {table: each for table, each in tables.items() if each}
    keyless = [table for table, each in existing.items() if all(one.key is None for one in each.values())]
    if existing and len(keyless) == len(existing):
        raise UsageError(
            f"--months: no column holds the month of a row of {', '.join(map(named, keyless))}: "
            "name one with --month-column, or leave out --months"
        )
    return keyless


def is_compared(row: Row, loaded: Collection[str]) -> bool:
    """Return whether a table of the pipeline belongs to what is loaded.

    A raw table does when a ledger names its dataset, or when it has rows although none does. A model does when a month
    for it is loaded, or when it exists although none is.
    """
    if row.table not in {dataset.table for dataset in DATASETS.values()}:
        is_built = any(each is not None for each in row.held.values())
        return is_built or bool(row.problems) or any(name in loaded for name in monthly())
    has_rows = any(digest.total((each or {}).values()).rows for each in row.held.values())
    return has_rows or bool(row.problems) or any(name in loaded for name in made_of(row.table))
