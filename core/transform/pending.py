"""What is pending: what is loaded now, compared with what `transform_ledger` says the models were last built from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from core import digest
from core.database import Connection
from core.errors import UsageError
from core.month import spans_of
from core.run import DATASET
from core.transform import marts, project
from core.transform.marts import MARTS

RAW = ("raw_trips", "raw_zones", "load_ledger")

Key = tuple[str, dt.date | None]
"""A thing that the models are built from: a dataset's month, a dataset, or ``("project", None)``."""

Versions = dict[Key, str]

PROJECT: Key = ("project", None)
ZONES: Key = ("zones", None)


@dataclass(frozen=True)
class Plan:
    """What a build has to do, and the versions that it then stands for.

    `built` are the versions of the last build, `missing` the models that are not in the schema, and `damaged` says what
    a mart has lost since the last build.
    """

    versions: Versions
    built: Versions
    missing: tuple[str, ...] = ()
    damaged: str | None = None

    @property
    def dataset(self) -> str:
        """The monthly dataset that the schema holds, or held when it was last built."""
        return dataset_of(self.versions, self.built)

    @property
    def changed(self) -> frozenset[Key]:
        """What was loaded, changed or taken away since the last build."""
        keys = self.versions.keys() | self.built.keys()
        return frozenset(key for key in keys if self.versions.get(key) != self.built.get(key))

    @property
    def is_empty(self) -> bool:
        """Whether every model exists and is built from what is loaded."""
        return not self.changed and not self.missing and not self.damaged

    @property
    def full(self) -> bool:
        """Whether all months are rebuilt: their SQL or the zones changed, or a mart is missing or damaged."""
        gone = {mart.name for mart in MARTS} & set(self.missing)
        return bool({PROJECT, ZONES} & self.changed or gone or self.damaged)

    @property
    def months(self) -> tuple[dt.date, ...]:
        """The months that are rebuilt."""
        keys = self.versions if self.full else self.changed
        return tuple(sorted(month for _, month in keys if month is not None))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why there is something to build, one phrase for each cause."""
        if not self.built:
            return ("this is the first build",)
        gone = {month for _, month in self.built.keys() - self.versions.keys() if month}
        loaded = {month for _, month in self.changed if month} - gone
        return tuple(
            phrase
            for holds, phrase in (
                (PROJECT in self.changed, "the dbt project changed"),
                (ZONES in self.changed, "the zones changed"),
                (loaded, f"{spans_of(loaded)} loaded"),
                (gone, f"{spans_of(gone)} no longer loaded"),
                (self.missing, f"{', '.join(self.missing)} missing"),
                (self.damaged, str(self.damaged)),
            )
            if holds
        )


def require_raw_tables(connection: Connection, schema: str) -> None:
    """Raise `UsageError` when `schema` lacks a table that the models are built from."""
    if missing := missing_tables(connection, schema, RAW):
        raise UsageError(f"schema {schema!r} has no {missing[0]}: load zones and a month first")


def plan(connection: Connection, schema: str, month: dt.date | None, *, alone: bool = False) -> Plan:
    """Compare what is loaded with what was last built; if nothing differs, the marts of `month` with their record.

    With `alone`, the other months are left out of the comparison.
    """
    loaded, built = loaded_versions(connection, schema), built_versions(connection, schema)
    dataset = dataset_of(loaded, built)
    versions: Versions = {PROJECT: project.version(dataset)} | loaded
    if alone:
        versions, built = ({key: each[key] for key in each if key[1] in (None, month)} for each in (versions, built))
    found = Plan(versions, built, missing_tables(connection, schema, project.model_names(dataset)))
    if month is None or not found.is_empty:
        return found
    return Plan(versions, built, damaged=marts.damage(connection, schema, month))


def dataset_of(*versions: Versions) -> str:
    """Return the monthly dataset in the first of `versions` that has one. It says which models a schema has."""
    return next((name for each in versions for name, month in each if month is not None), DATASET)


def loaded_versions(connection: Connection, schema: str) -> Versions:
    """Return the versions of what the models are built from, as it is loaded now."""
    loaded = sql.SQL("SELECT dataset, month, concat(fence, ' ', content_digest) FROM {} WHERE month IS NOT NULL")
    # The lookup's version is what the table holds: loaded again with the same rows, it is no reason to rebuild all
    # months.
    zones: Versions = {ZONES: digest.table(connection, schema, "raw_zones").hex}
    return zones | _versions(connection, loaded, schema, "load_ledger")


def built_versions(connection: Connection, schema: str) -> Versions:
    """Return the versions that the models were last built from, as `transform_ledger` records them."""
    return _versions(connection, sql.SQL("SELECT dataset, month, version FROM {}"), schema, "transform_ledger")


def _versions(connection: Connection, query: sql.SQL, schema: str, table: str) -> Versions:
    found = connection.execute(query.format(sql.Identifier(schema, table)))
    return {(dataset, month): version for dataset, month, version in found}


def missing_tables(connection: Connection, schema: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return those of `names` that are neither a table nor a view in `schema`."""
    quoted = [sql.Identifier(schema, name).as_string(connection) for name in names]
    found = connection.execute(
        "SELECT to_regclass(name) IS NULL FROM unnest(%s::text[]) WITH ORDINALITY AS t (name, n) ORDER BY n", [quoted]
    )
    return tuple(name for name, (gone,) in zip(names, found, strict=True) if gone)


_CREATE = sql.SQL(
    """
    CREATE TABLE IF NOT EXISTS {} (
        dataset text NOT NULL,
        month date,
        version text NOT NULL,
        built_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE NULLS NOT DISTINCT (dataset, month)
    )
    """
)


def create_ledger(connection: Connection, schema: str) -> None:
    """Create `transform_ledger` where it is missing."""
    connection.execute(_CREATE.format(sql.Identifier(schema, "transform_ledger")))


def write_versions(connection: Connection, schema: str, versions: Versions) -> None:
    """Record `versions` as those of the last build."""
    table = sql.Identifier(schema, "transform_ledger")
    connection.execute(sql.SQL("DELETE FROM {}").format(table))
    for (dataset, month), version in versions.items():
        insert = sql.SQL("INSERT INTO {} (dataset, month, version) VALUES ({}, {}, {})")
        connection.execute(insert.format(table, dataset, month, version))


def last_built(connection: Connection, schema: str) -> dt.datetime:
    """Return when the last build was published."""
    query = sql.SQL("SELECT max(built_at) FROM {}").format(sql.Identifier(schema, "transform_ledger"))
    found: dt.datetime = connection.execute(query).fetchall()[0][0]
    return found


def is_built(connection: Connection, schema: str, month: dt.date) -> bool:
    """Return whether the last build covered `month`."""
    query = sql.SQL("SELECT FROM {} WHERE month = {}").format(sql.Identifier(schema, "transform_ledger"), month)
    return bool(connection.execute(query).fetchall())
