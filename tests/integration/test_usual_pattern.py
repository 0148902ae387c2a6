"""Why the partition is the file's month: the usual way to reload a month, and what it does to the publisher's rows.

"Delete the month, then append the file" is how most pipelines make a load safe to run again, with the month taken from
the pickup. But a month's file holds pickups of other months. So a run deletes rows that came with another file, and
leaves rows of its own that lie outside the month, which the next run of the same file then appends once more.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import psycopg
import pytest

from core import pipeline
from core.extract import sample
from core.month import Month, parse_months
from core.run import STRATEGIES, Run, StrategyName
from tests import oracle

pytestmark = pytest.mark.slow

PUBLISHED = ["VendorID", "lpep_pickup_datetime", "lpep_dropoff_datetime", "fare_amount"]


class Damage(NamedTuple):
    """Published rows that are missing in a table, and rows that it holds too often."""

    lost: int
    gained: int


class Case(NamedTuple):
    """Three neighboring months in a folder, and what the usual pattern must do to them, counted by hand."""

    folder: Path
    months: tuple[Month, ...]
    once: Damage
    twice: Damage
    backwards: Damage

    def path(self, month: Month) -> Path:
        return next(self.folder.rglob(sample.file_name(month)))


@pytest.fixture
def generated(tmp_path: Path) -> Case:
    """Each file has 4 rows of the month before, 8 of the month after, and 3 of years far away."""
    months = parse_months("2024-01..2024-03")
    sample.ensure(tmp_path / "files", months, rows=1_000)
    return Case(
        tmp_path / "files",
        months,
        # Loading a month deletes the rows of that month that came with the file before.
        once=Damage(lost=8 + 8, gained=0),
        # And rows that no run deletes are there twice: December, April, 3 x 3.
        twice=Damage(lost=8 + 8, gained=4 + 8 + 3 * 3),
        # In the opposite order, other rows are lost.
        backwards=Damage(lost=4 + 4, gained=0),
    )


@pytest.fixture
def real(real_data: Path) -> Case:
    """Before and after their month, the real files have 6 and 37, 5 and 14, 6 and 5 rows."""
    return Case(
        real_data,
        parse_months("2025-01..2025-03"),
        once=Damage(lost=37 + 14, gained=0),
        twice=Damage(lost=37 + 14, gained=6 + 5),
        backwards=Damage(lost=5 + 6, gained=0),
    )


@pytest.fixture(params=["generated", "real"])
def case(request: pytest.FixtureRequest) -> Case:
    case: Case = request.getfixturevalue(request.param)
    return case


# ---------------------------------------------------------------- the usual pattern


def test_the_usual_pattern_loses_and_gains_rows_and_depends_on_the_order(warehouse: str, case: Case) -> None:
    with psycopg.connect(warehouse, autocommit=True) as connection:
        publish(connection, case)
        assert usual_damage(connection, case.months) == case.once
        assert usual_damage(connection, case.months * 2) == case.twice
        assert usual_damage(connection, reversed(case.months)) == case.backwards != case.once


def usual_load(connection: psycopg.Connection, month: Month) -> None:
    """Delete the month, then append the file, in one transaction, which seems safe to run again."""
    with connection.transaction():
        connection.execute(
            "DELETE FROM trips WHERE pickup >= %s AND pickup < %s", [month.first_day, month.next().first_day]
        )
        connection.execute(
            "INSERT INTO trips SELECT vendor, pickup, dropoff, fare FROM published WHERE file = %s", [month.first_day]
        )


def usual_damage(connection: psycopg.Connection, runs: Iterable[Month]) -> Damage:
    """Load into an empty table in the order of `runs`, then compare with all published rows, as multisets."""
    connection.execute("TRUNCATE trips")
    for month in runs:
        usual_load(connection, month)
    published = "SELECT vendor, pickup, dropoff, fare FROM published"
    return Damage(
        lost=count(connection, f"{published} EXCEPT ALL TABLE trips"),
        gained=count(connection, f"TABLE trips EXCEPT ALL ({published})"),
    )


def publish(connection: psycopg.Connection, case: Case) -> None:
    """Put the files' rows into a table of their own, with the file's month beside them, and make the table of trips."""
    columns = "vendor integer, pickup timestamp, dropoff timestamp, fare double precision"
    connection.execute("CREATE SCHEMA usual; SET search_path = usual")
    connection.execute(f"CREATE TABLE trips ({columns}); CREATE TABLE published (file date, {columns})")
    for month in case.months:
        rows = pd.read_parquet(case.path(month), columns=PUBLISHED)
        with connection.cursor().copy("COPY published FROM STDIN") as copy:
            for row in rows.itertuples(index=False):
                copy.write_row((month.first_day, *row))


def count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM ({query})".encode()).fetchone()
    assert row is not None
    return int(row[0])


# ---------------------------------------------------------------- ours


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("order", ["once", "twice", "backwards"])
def test_our_table_holds_every_row_once_in_whatever_order(
    warehouse: str, generated: Case, strategy: StrategyName, order: str
) -> None:
    months = generated.months
    check_ours(warehouse, generated, {"once": months, "twice": months * 2, "backwards": months[::-1]}[order], strategy)


def test_our_table_holds_every_real_row_once(warehouse: str, real: Case) -> None:
    check_ours(warehouse, real, (*real.months, *reversed(real.months)), "swap")


def check_ours(dsn: str, case: Case, runs: Iterable[Month], strategy: StrategyName) -> None:
    run = Run(str(case.folder), "ours", loader="plain", strategy=strategy, force=True)
    states = {pipeline.ingest_month(run, month).state for month in runs}
    # `force`: no month was skipped as unchanged.
    assert states == {"success"}
    files = {str(month): case.path(month) for month in case.months}
    assert oracle.differences(dsn, "ours", files, case.folder / sample.ZONES, ["raw_trips"]) == []
