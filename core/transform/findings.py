"""What the tests found in the builds so far, each month in the last build of it: table `test_results`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from core.database import Connection, check_schema_name, connect
from core.errors import UsageError
from core.run import counted
from core.transform.dbt_build import Outcome
from core.transform.pending import is_built, missing_tables

NAMED = 3
"""How many other months a line names, of those whose rows broke the same test."""


@dataclass(frozen=True)
class Result:
    """What a test found.

    `months` counts the rows that broke it by first day of month (ISO 8601); it is None when the rows do not say their
    month. `message` says what the test is about: its description in the dbt project.
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
        """Return whether the test failed, and rows of `month` may be why."""
        return not self.passed and (self.months is None or month.isoformat() in self.months)

    def fails(self, strict: bool) -> bool:
        """Return whether the test fails a month whose rows break it, instead of warning of them."""
        return strict or self.severity == "error"

    def count(self, month: dt.date) -> int:
        """Return how many rows of `month` broke the test; those of all months if it can't tell."""
        return self.failures if self.months is None else self.months.get(month.isoformat(), 0)

    def finding(self, month: dt.date, trips: int) -> str:
        """Return one line: the test, its model, and how many rows broke it: of `month`, then of the other months.

        `trips` is how many rows `month` has in ``fct_trips``. Only the first few other months are named.
        """
        rows = counted(self.count(month), "row")
        if self.months is None:
            return f"{self.name} on {self.model}: {rows}, of months that the test does not name"
        if self.model == "fct_trips" and trips:
            rows = f"{self.count(month):,} of {counted(trips, 'row')}, {_percent(self.count(month) / trips)}"
        others = [f"{day[:7]}: {number:,}" for day, number in self.months.items() if day != month.isoformat()]
        more = [counted(len(others) - NAMED, "more month")] if len(others) > NAMED else []
        also = f" (also {', '.join(others[:NAMED] + more)})" if others else ""
        return f"{self.name} on {self.model}: {rows}{also}"

    def warning(self, month: dt.date, trips: int) -> str:
        """Return `finding` and what the test is about: a line for a reader who has never seen the test."""
        return f"{self.finding(month, trips)}. {self.message}"

    def after(self, before: Result | None, built: Sequence[dt.date] | None) -> Result:
        """Return what is known after a build of the months `built` (None: all) that found this.

        Of the other months, it is what was known `before`.
        """
        if built is None or before is None or before.months is None or self.months is None:
            return self
        kept = {month: rows for month, rows in before.months.items() if dt.date.fromisoformat(month) not in built}
        months = dict(sorted((kept | self.months).items()))
        message = before.message if kept and self.passed else self.message
        return replace(self, passed=not months, failures=sum(months.values()), message=message, months=months)


def _percent(share: float) -> str:
    return "under 0.1 %" if share < 0.001 else f"{100 * share:.3g} %"


def results(schema: str, month: dt.date) -> list[Result]:
    """Return what the tests found, each month in the last build of it.

    Raise `UsageError` when no build has covered `month`.
    """
    check_schema_name(schema)
    with connect(f"check {schema}") as connection:
        if missing_tables(connection, schema, ["test_results"]) or not is_built(connection, schema, month):
            raise UsageError(
                f"no build of schema {schema!r} has {month:%Y-%m} in it: run the month's transform step first"
            )
        return _read(connection, schema)


_CREATE = sql.SQL(
    """
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
)


def create_table(connection: Connection, schema: str) -> None:
    """Create `test_results` where it is missing."""
    connection.execute(_CREATE.format(sql.Identifier(schema, "test_results")))


def _read(connection: Connection, schema: str) -> list[Result]:
    query = sql.SQL(
        "SELECT name, model, kind, severity, passed, failures, message, months FROM {} ORDER BY kind, model, name"
    )
    with connection.cursor(row_factory=class_row(Result)) as cursor:
        return cursor.execute(query.format(sql.Identifier(schema, "test_results"))).fetchall()


def write(connection: Connection, schema: str, outcomes: list[Outcome], built: Sequence[dt.date] | None) -> None:
    """Record what is known after a build of the months `built`, in place of the results of the kinds of test that ran.

    The results of unit tests stand until the project changes, and those of months that were not built until they are.
    """
    table = sql.Identifier(schema, "test_results")
    before = {result.name: result for result in _read(connection, schema)}
    kinds = list({outcome.test.kind for outcome in outcomes})
    connection.execute(sql.SQL("DELETE FROM {} WHERE kind = ANY ({})").format(table, kinds))
    for outcome in outcomes:
        result = _result(connection, outcome).after(before.get(outcome.test.name), built)
        values = {**vars(result), "months": None if result.months is None else Jsonb(result.months)}
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})")
        columns, literals = map(sql.Identifier, values), map(sql.Literal, values.values())
        connection.execute(insert.format(table, sql.SQL(", ").join(columns), sql.SQL(", ").join(literals)))


def _result(connection: Connection, outcome: Outcome) -> Result:
    test, months = outcome.test, {} if outcome.passed else _rows_by_month(connection, outcome)
    failures = outcome.failures if months is None else sum(months.values())
    about = " ".join((test.description or outcome.message).split())
    return Result(test.name, test.model, test.kind, test.severity, outcome.passed, failures, about, months)


def _rows_by_month(connection: Connection, outcome: Outcome) -> dict[str, int] | None:
    """Run the test's query again, and count the rows that broke it by source month; None when its rows do not say.

    A test that finds groups of rows (dbt/tests/generic/expression_proportion.sql) returns their number as `rows_found`.
    """
    try:
        with connection.transaction():
            query = sql.SQL(
                "SELECT source_month, sum(coalesce((to_jsonb(broken) ->> 'rows_found')::bigint, 1))::bigint"
                " FROM ({}\n) AS broken GROUP BY 1 ORDER BY 1"
            )
            # The text as dbt compiled it
            found = connection.execute(query.format(sql.SQL(outcome.sql)))
            return {month.isoformat(): rows for month, rows in found}
    except psycopg.errors.UndefinedColumn:
        return None
