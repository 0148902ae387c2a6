"""Keep the dbt models of a schema up to date with its load ledger.

    refresh    lock -> compare the ledgers -> nothing to do, or one dbt build, which one transaction publishes (`core.transform.marts`)
    results    what the tests found in the builds so far

`transform_ledger` says from which publication (fence and content digest) of each month, from which rows of the lookup, and
from which version of the dbt project, the models were last built. It is compared with what is there now: whatever differs is
pending. The load ledger is read BEFORE the build, and recorded in the transaction that publishes the marts. A crash before it
leaves the marts as they were, and a load in between makes the next refresh build once more; neither leaves a stale mart. Many
months that landed are one build, and a refresh that waited for another one's lock usually finds nothing left to do.

A failed data test holds back no mart. One build serves all months that are pending, so a gate would let the bad data of
one month keep every other month, and the month's own good rows, from readers who need them, while the raw rows are
published anyhow. So models are built from every value that a raw table can hold, tests run when all models are built,
and `check` fails for the months whose rows broke a test, and only for those.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from core import digest
from core.database import Connection, check_schema_name, connect, lock_key, lock_not_free
from core.errors import UsageError
from core.run import counted
from core.transform import dbt, marts
from core.transform.dbt import Outcome
from core.transform.marts import MARTS

RAW = ("raw_trips", "raw_zones", "load_ledger")

Key = tuple[str, dt.date | None]
"""A thing that the models are built from: a dataset's month, a dataset, or ``("project", None)``."""

Versions = dict[Key, str]

PROJECT: Key = ("project", None)
ZONES: Key = ("zones", None)


NAMED = 3
"""How many other months a line names, of those that broke the same test."""


@dataclass(frozen=True)
class Plan:
    """What a build has to do, and the versions that it then stands for. `damaged` says what a mart lost since the last one."""

    versions: Versions
    changed: frozenset[Key]
    missing: tuple[str, ...]
    damaged: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every model is there and built from what is loaded."""
        return not self.changed and not self.missing and not self.damaged

    @property
    def full(self) -> bool:
        """Whether all months are rebuilt: their SQL changed, or the zones that they are joined to; a mart is gone or damaged."""
        gone = {mart.name for mart in MARTS} & set(self.missing)
        return bool({PROJECT, ZONES} & self.changed or gone or self.damaged)

    @property
    def months(self) -> tuple[dt.date, ...]:
        """The months that are rebuilt."""
        keys = self.versions if self.full else self.changed
        return tuple(sorted(month for _, month in keys if month is not None))


@dataclass(frozen=True)
class Refresh:
    """What a refresh did. `state` is ``success`` or ``unchanged``; `months` are those that were rebuilt.

    `warnings` say what a reader may have noticed: a damaged mart that was rebuilt, a mart whose columns changed.
    """

    state: str
    months: tuple[dt.date, ...] = ()
    full: bool = False
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """What a test found. `months` counts the rows that broke it by first day of month (ISO 8601), None if it can't tell.

    `message` says what the test is about: its description in the dbt project.
    """

    name: str
    model: str
    kind: str
    severity: str
    passed: bool
    failures: int
    message: str
    months: dict[str, int] | None

    def concerns(self, month: dt.date) -> bool:
        """Whether the test failed, and rows of `month` may be why."""
        return not self.passed and (self.months is None or month.isoformat() in self.months)

    def fails(self, strict: bool) -> bool:
        """Whether the test fails a month whose rows break it, instead of warning of them."""
        return strict or self.severity == "error"

    def count(self, month: dt.date) -> int:
        """How many rows of `month` broke the test; those of all months if it can't tell."""
        return self.failures if self.months is None else self.months.get(month.isoformat(), 0)

    def finding(self, month: dt.date, trips: int) -> str:
        """Return one line: the test, its model, and how many rows of `month`, which has `trips` in ``fct_trips``, broke it.

        The other months whose rows broke it follow, the first few by name.
        """
        found = counted(self.count(month), "row")
        if self.months is None:
            return f"{self.name} on {self.model}: {found}, of months that the test does not name"
        if self.model == "fct_trips" and trips:
            found = f"{self.count(month):,} of {counted(trips, 'row')}, {_percent(self.count(month) / trips)}"
        others = [f"{day[:7]}: {rows:,}" for day, rows in self.months.items() if day != month.isoformat()]
        more = [counted(len(others) - NAMED, "more month")] if len(others) > NAMED else []
        also = f" (also {', '.join(others[:NAMED] + more)})" if others else ""
        return f"{self.name} on {self.model}: {found}{also}"

    def warning(self, month: dt.date, trips: int) -> str:
        """As `finding`, with what the test is about: the line that a person reads who has never seen the test."""
        return f"{self.finding(month, trips)}. {self.message}"

    def after(self, before: Result | None, built: Sequence[dt.date] | None) -> Result:
        """What is known after a build of the months `built` (None: all), which found this: of the others, what was known `before`."""
        if built is None or before is None or before.months is None or self.months is None:
            return self
        kept = {month: rows for month, rows in before.months.items() if dt.date.fromisoformat(month) not in built}
        months = dict(sorted((kept | self.months).items()))
        message = before.message if kept and self.passed else self.message
        return replace(self, passed=not months, failures=sum(months.values()), message=message, months=months)


def _percent(share: float) -> str:
    return "under 0.1 %" if share < 0.001 else f"{100 * share:.3g} %"


def refresh(schema: str, month: dt.date | None = None) -> Refresh:
    """Build what is pending in `schema`, and publish it in one transaction; start nothing when nothing is pending.

    With `month`, what the last build left of it is compared with the marts (`marts.damage`): rows that went missing since
    are a reason to rebuild all months.

    Refreshes of one schema wait for each other: dbt collides on its temporary names otherwise. Raise `Busy` when the
    other one takes longer than `Settings.lock_wait_s`, `TransformFailed` when a model can't be built (what was built before
    stays), `DatabaseUnavailable` when the server goes away. Failed data tests are recorded, not raised.
    """
    check_schema_name(schema)
    started = time.monotonic()
    with connect(f"transform {schema}", autocommit=True) as connection, _exclusive(connection, schema):
        plan = _plan(connection, schema, month)
        if plan.is_empty:
            return Refresh("unchanged")
        # Unit tests ask made-up rows: only the project's own text can change what they find. Nor does a view change otherwise.
        months = None if plan.full else plan.months
        views, unit_tests = PROJECT in plan.changed or bool(plan.missing), PROJECT in plan.changed
        outcomes = dbt.build(connection.info, schema, months, views=views, unit_tests=unit_tests)
        with connection.transaction():
            _write_results(connection, schema, outcomes, months)
            replaced = marts.publish(connection, schema, months) if months != () else []
            _write_versions(connection, schema, plan.versions)
        warnings = [f"{plan.damaged}: all months were rebuilt"] if plan.damaged else []
        warnings += [
            f"{name} was replaced because its columns changed: a transaction that began before sees it empty"
            for name in replaced
        ]
        seconds = round(time.monotonic() - started, 3)
        return Refresh("success", plan.months, plan.full, seconds, tuple(warnings))


def results(schema: str, month: dt.date) -> list[Result]:
    """What the tests found, each month in the last build of it; raise `UsageError` when no build has covered `month`."""
    check_schema_name(schema)
    with connect(f"check {schema}") as connection:
        if _missing(connection, schema, ["test_results"]) or not _is_built(connection, schema, month):
            raise UsageError(
                f"no build of schema {schema!r} has {month:%Y-%m} in it: run the month's transform step first"
            )
        return _read_results(connection, schema)


def rows(schema: str, month: dt.date) -> int:
    """How many rows of `month` are in ``fct_trips``."""
    with connect(f"transform {schema}") as connection:
        query = sql.SQL("SELECT count(*) FROM {} WHERE source_month = {}")
        return int(connection.execute(query.format(sql.Identifier(schema, "fct_trips"), month)).fetchall()[0][0])


def _is_built(connection: Connection, schema: str, month: dt.date) -> bool:
    query = sql.SQL("SELECT FROM {} WHERE month = {}").format(sql.Identifier(schema, "transform_ledger"), month)
    return bool(connection.execute(query).fetchall())


@contextmanager
def _exclusive(connection: Connection, schema: str) -> Iterator[None]:
    """Hold the schema's transform lock until the block, or the connection, ends.

    A lock of the session: one of a transaction would keep that open, idle, for as long as dbt takes.
    """
    key = lock_key("transform", schema)
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", [key])
    except psycopg.errors.LockNotAvailable as error:
        raise lock_not_free(connection, "transform", schema) from error
    connection.execute("SET idle_session_timeout = 0")  # it is idle while dbt works
    yield
    connection.execute("SELECT pg_advisory_unlock(%s)", [key])


def _plan(connection: Connection, schema: str, month: dt.date | None) -> Plan:
    if missing := _missing(connection, schema, RAW):
        raise UsageError(f"schema {schema!r} has no {missing[0]}: load zones and a month first")
    _create_ledger(connection, schema)
    versions: Versions = {PROJECT: dbt.project_version()} | loaded_versions(connection, schema)
    built = built_versions(connection, schema)
    changed = frozenset(key for key in versions | built if versions.get(key) != built.get(key))
    missing = _missing(connection, schema, dbt.model_names())
    whole = month is not None and not changed and not missing
    return Plan(versions, changed, missing, marts.damage(connection, schema, month) if whole and month else None)


def loaded_versions(connection: Connection, schema: str) -> Versions:
    """What the models are built from, as it is loaded now."""
    loaded = sql.SQL("SELECT dataset, month, concat(fence, ' ', content_digest) FROM {} WHERE dataset = 'green'")
    # The lookup's version is what the table holds: loaded again with the same rows, it is no reason to rebuild all months.
    zones: Versions = {ZONES: digest.table(connection, schema, "raw_zones").hex}
    return zones | _versions(connection, loaded, schema, "load_ledger")


def built_versions(connection: Connection, schema: str) -> Versions:
    """What the models were last built from, as `transform_ledger` says."""
    return _versions(connection, sql.SQL("SELECT dataset, month, version FROM {}"), schema, "transform_ledger")


def _versions(connection: Connection, query: sql.SQL, schema: str, table: str) -> Versions:
    found = connection.execute(query.format(sql.Identifier(schema, table)))
    return {(dataset, month): version for dataset, month, version in found}


def _missing(connection: Connection, schema: str, names: Sequence[str]) -> tuple[str, ...]:
    quoted = [sql.Identifier(schema, name).as_string(connection) for name in names]
    found = connection.execute(
        "SELECT to_regclass(name) IS NULL FROM unnest(%s::text[]) WITH ORDINALITY AS t (name, n) ORDER BY n", [quoted]
    )
    return tuple(name for name, (gone,) in zip(names, found, strict=True) if gone)


def _create_ledger(connection: Connection, schema: str) -> None:
    marts.create_ledger(connection, schema)
    connection.execute(
        sql.SQL(
            """
            CREATE TABLE IF NOT EXISTS {} (
                dataset text NOT NULL,
                month date,
                version text NOT NULL,
                built_at timestamptz NOT NULL DEFAULT clock_timestamp(),
                UNIQUE NULLS NOT DISTINCT (dataset, month)
            );
            CREATE TABLE IF NOT EXISTS {} (
                name text PRIMARY KEY,
                model text NOT NULL,
                kind text NOT NULL,
                severity text NOT NULL,
                passed boolean NOT NULL,
                failures bigint NOT NULL,
                message text NOT NULL,
                months jsonb,
                run_at timestamptz NOT NULL DEFAULT clock_timestamp()
            )
            """
        ).format(sql.Identifier(schema, "transform_ledger"), sql.Identifier(schema, "test_results"))
    )


def _write_versions(connection: Connection, schema: str, versions: Versions) -> None:
    table = sql.Identifier(schema, "transform_ledger")
    connection.execute(sql.SQL("DELETE FROM {}").format(table))
    for (dataset, month), version in versions.items():
        insert = sql.SQL("INSERT INTO {} (dataset, month, version) VALUES ({}, {}, {})")
        connection.execute(insert.format(table, dataset, month, version))


def _read_results(connection: Connection, schema: str) -> list[Result]:
    query = sql.SQL(
        "SELECT name, model, kind, severity, passed, failures, message, months FROM {} ORDER BY kind, model, name"
    )
    with connection.cursor(row_factory=class_row(Result)) as cursor:
        return cursor.execute(query.format(sql.Identifier(schema, "test_results"))).fetchall()


def _write_results(
    connection: Connection, schema: str, outcomes: list[Outcome], built: Sequence[dt.date] | None
) -> None:
    """Write what is known after a build, in place of the results of the kinds of test that were run.

    Unit tests stand until the project changes, and what was found of months that were not built until they are.
    """
    table = sql.Identifier(schema, "test_results")
    before = {result.name: result for result in _read_results(connection, schema)}
    kinds = list({outcome.test.kind for outcome in outcomes})
    connection.execute(sql.SQL("DELETE FROM {} WHERE kind = ANY ({})").format(table, kinds))
    for outcome in outcomes:
        test, months = outcome.test, {} if outcome.passed else _rows_by_month(connection, outcome)
        failures = outcome.failures if months is None else sum(months.values())
        about = " ".join((test.description or outcome.message).split())
        found = Result(test.name, test.model, test.kind, test.severity, outcome.passed, failures, about, months).after(
            before.get(test.name), built
        )
        values = {**vars(found), "months": None if found.months is None else Jsonb(found.months)}
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})")
        columns, literals = map(sql.Identifier, values), map(sql.Literal, values.values())
        connection.execute(insert.format(table, sql.SQL(", ").join(columns), sql.SQL(", ").join(literals)))


def _rows_by_month(connection: Connection, outcome: Outcome) -> dict[str, int] | None:
    """Count the rows that broke a test, by source month: its query, asked again. None when its rows do not say.

    A test that finds groups of rows (dbt/tests/generic/expression_proportion.sql) returns their number as `rows_found`.
    """
    try:
        with connection.transaction():
            query = sql.SQL(
                "SELECT source_month, sum(coalesce((to_jsonb(broken) ->> 'rows_found')::bigint, 1))::bigint"
                " FROM ({}\n) AS broken GROUP BY 1 ORDER BY 1"
            )
            found = connection.execute(query.format(sql.SQL(outcome.sql)))  # as dbt compiled it
            return {month.isoformat(): rows for month, rows in found}
    except psycopg.errors.UndefinedColumn:
        return None
