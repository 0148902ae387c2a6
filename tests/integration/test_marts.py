"""The marts of a build become visible all at once, at any isolation level, with a record of their rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core import pipeline, transform
from core.database import connect
from core.errors import TransformFailed
from core.month import Month
from core.transform import marts, project
from core.transform.marts import MARTS
from tests.integration.marts import Publisher, Row, Watch, forget_version, project_copy, query

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_dbt")]

JANUARY, FEBRUARY = Month(2024, 1), Month(2024, 2)
STRAY = {"lpep_pickup_datetime": dt.datetime(2024, 1, 31, 23), "lpep_dropoff_datetime": dt.datetime(2024, 2, 1, 1)}


@pytest.fixture
def built(publisher: Publisher) -> Publisher:
    """Load and build two months; February's file has a row of January's last day."""
    publisher.land("plain", "2024-01", [{}] * 30)
    publisher.land("plain", "2024-02", [*[{}] * 40, STRAY])
    assert transform.refresh("plain").full
    return publisher


def counts(connection: psycopg.Connection[Any]) -> tuple[int, int, int]:
    """Return rows of fct_trips, trips of daily_borough_stats, months in fct_trips: one statement, so one snapshot."""
    (row,) = connection.execute(
        "SELECT (SELECT count(*) FROM plain.fct_trips),"
        " (SELECT coalesce(sum(trips), 0)::int FROM plain.daily_borough_stats),"
        " (SELECT count(DISTINCT source_month) FROM plain.fct_trips)"
    ).fetchall()
    return row  # type: ignore[no-any-return]


def force(publisher: Publisher, month: Month) -> None:
    """Load what `backfill MONTH --force` loads."""
    run = replace(publisher.run("plain"), force=True)
    pipeline.ingest_zones(run)
    pipeline.ingest_month(run, month)


def rename_a_zone(publisher: Publisher) -> None:
    zones = publisher.folder / "taxi_zone_lookup.csv"
    zones.write_text(zones.read_text().replace("Queens", "The Queens"), newline="")
    pipeline.ingest_zones(publisher.run("plain"))


def change_the_project() -> None:
    forget_version("plain", "project")


CHANGES: dict[str, Callable[[Publisher], object]] = {
    "forced-month": lambda publisher: force(publisher, JANUARY),
    "zones": rename_a_zone,
    "project": lambda _: change_the_project(),
    "new-file": lambda publisher: publisher.land("plain", "2024-01", [{"fare_amount": 1.0}] * 7),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_older_snapshot_sees_the_marts_as_they_were(built: Publisher, warehouse: str, change: str) -> None:
    """REPEATABLE READ: the snapshot is taken before the build, and the marts are first read after it."""
    with psycopg.connect(warehouse) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM plain.load_ledger")
        CHANGES[change](built)
        assert transform.refresh("plain").state == "success"
        assert counts(reader) == (71, 71, 2)
    with psycopg.connect(warehouse) as reader:
        assert counts(reader) == ((48, 48, 2) if change == "new-file" else (71, 71, 2))


def test_no_build_takes_a_lock_that_a_reader_would_wait_for(built: Publisher, warehouse: str) -> None:
    """A COPY that queued behind a rename returned 0 rows. A build of all months now ends while a reader has locks."""
    with psycopg.connect(warehouse) as reader:
        # The reader keeps its locks until it commits
        assert counts(reader) == (71, 71, 2)
        change_the_project()
        rename_a_zone(built)
        assert transform.refresh("plain").full
        with reader.cursor().copy("COPY (SELECT * FROM plain.fct_trips) TO STDOUT") as rows:
            assert len(list(rows)) == 71


def test_no_statement_sees_marts_of_two_builds(built: Publisher) -> None:
    """During builds of one month and of all, each statement of a reader sees both marts as the same build left them."""
    with Watch(counts) as seen:
        for rows in (5, 60, 1):
            built.land("plain", "2024-01", [{}] * rows)
            transform.refresh("plain")
            rename_a_zone(built)
            transform.refresh("plain")
    assert {(trips, months) for trips, _, months in seen} == {(n + 41, 2) for n in (30, 5, 60, 1)}
    assert all(trips == by_date for trips, by_date, _ in seen)


def test_a_forced_month_is_rebuilt_alone_and_the_same_lookup_rebuilds_nothing(built: Publisher) -> None:
    force(built, JANUARY)
    done = transform.refresh("plain")
    assert (done.full, done.months) == (False, (JANUARY.first_day,))
    pipeline.ingest_zones(replace(built.run("plain"), force=True))
    assert transform.refresh("plain").state == "unchanged"


def test_a_lookup_that_was_changed_by_hand_is_noticed(built: Publisher) -> None:
    """The version is the digest of the table, not of what the loader last wrote into it."""
    query("UPDATE {}.raw_zones SET borough = 'Elsewhere' WHERE location_id = 7 RETURNING 1", "plain")
    assert transform.refresh("plain").full
    assert query("SELECT DISTINCT pickup_borough FROM {}.fct_trips", "plain") == [("Elsewhere",)]


@pytest.mark.parametrize(
    "harm",
    [
        "TRUNCATE {0}.fct_trips",
        "TRUNCATE {0}.daily_borough_stats",
        "DELETE FROM {0}.fct_trips WHERE source_month = '2024-01-01' AND row_number = 3",
        "INSERT INTO {0}.daily_borough_stats SELECT '2020-01-01', borough FROM {0}.daily_borough_stats LIMIT 0;"
        " DELETE FROM {0}.mart_ledger",
    ],
    ids=["trips", "stats", "one-row", "no-record"],
)
def test_lost_rows_of_a_mart_are_noticed_and_built_again(built: Publisher, harm: str) -> None:
    before = recorded()
    with connect("test") as connection:
        connection.execute(harm.format("plain").encode())
    receipt = pipeline.transform(built.run("plain"), JANUARY)
    assert receipt.state == "success"
    (warning,) = receipt.warnings
    assert "where its last build left" in warning
    assert warning.endswith("all months were rebuilt")
    assert (recorded(), held()) == (before, before)
    assert pipeline.transform(built.run("plain"), JANUARY).state == "unchanged"


def recorded() -> dict[tuple[str, dt.date], tuple[int, str]]:
    """Return what `mart_ledger` says."""
    found = query("SELECT model, month, row_count, content_digest FROM {}.mart_ledger", "plain")
    return {(model, month): (rows, digest) for model, month, rows, digest in found}


def held() -> dict[tuple[str, dt.date], tuple[int, str]]:
    """Return what the marts hold."""
    with connect("test") as connection:
        return {
            (mart.name, month): (content.rows, content.hex)
            for mart in MARTS
            for month, content in marts.digests(connection, "plain", mart).items()
        }


def test_the_record_is_what_the_marts_hold(built: Publisher) -> None:
    """Holds after a build of all months, of one with stray rows, and of one whose stray rows are gone."""
    assert recorded() == held()
    far = {"lpep_pickup_datetime": dt.datetime(2008, 12, 31), "lpep_dropoff_datetime": dt.datetime(2008, 12, 31)}
    months: list[list[Row]] = [[*[{}] * 5, STRAY, far], [{}] * 5]
    for rows in months:
        built.land("plain", "2024-02", rows)
        assert transform.refresh("plain").months == (FEBRUARY.first_day,)
        assert recorded() == held()
        dates = {month for model, month in recorded() if model == "daily_borough_stats"}
        assert (dt.date(2008, 12, 1) in dates) == (far in rows)


def test_a_build_of_all_months_rewrites_only_months_whose_rows_differ(built: Publisher) -> None:
    publish = "SELECT source_month, min(xmin::text) FROM {}.fct_trips GROUP BY 1 ORDER BY 1"
    before = dict(query(publish, "plain"))
    change_the_project()
    assert transform.refresh("plain").full
    assert dict(query(publish, "plain")) == before, "the rows are the same, so none was written"
    with connect("test") as connection:
        connection.execute("DELETE FROM plain.fct_trips WHERE source_month = '2024-02-01' AND row_number < 5")
    change_the_project()
    assert transform.refresh("plain").full
    after = dict(query(publish, "plain"))
    assert [month.isoformat() for month in before if before[month] != after[month]] == ["2024-02-01"]
    assert query("SELECT count(*) FROM {}.fct_trips", "plain") == [(71,)]
    rename_a_zone(built)
    assert transform.refresh("plain").full
    renamed = query("SELECT DISTINCT pickup_borough, source_month FROM {}.fct_trips ORDER BY 2", "plain")
    assert [borough for borough, _ in renamed] == ["The Queens"] * 2


def test_a_corrected_month_is_built_as_if_it_were_the_first(built: Publisher) -> None:
    """An incremental model with a unique key would double what has no borough, and keep the day that is gone."""
    day = dt.datetime(2024, 1, 20, 12)
    outside, gone = {"PULocationID": 265}, {"lpep_pickup_datetime": day, "lpep_dropoff_datetime": day}
    months: list[list[Row]] = [[{}, outside, gone], [{}, outside]]
    for rows in months:
        built.land("plain", "2024-01", rows)
        assert not transform.refresh("plain").full
    found = held()
    change_the_project()
    assert transform.refresh("plain").full
    assert held() == found


def test_rows_that_break_a_key_are_not_published(built: Publisher) -> None:
    """A zone that is in the lookup twice would double its trips."""
    before = held()
    query("INSERT INTO {0}.raw_zones SELECT * FROM {0}.raw_zones WHERE location_id = 7 RETURNING 1", "plain")
    with pytest.raises(TransformFailed, match=r"fct_trips_pkey.*\(source_month, row_number\)") as failure:
        transform.refresh("plain")
    assert "\n" not in str(failure.value)
    assert held() == before


def test_a_mart_whose_columns_changed_is_replaced_with_a_warning(
    built: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_copy(tmp_path, monkeypatch)
    for name, old, new in (
        ("fct_trips.sql", "    trips.vendor_id,", "    trips.vendor_id,\n    trips.vendor_id as vendor,"),
        (
            "fct_trips.yml",
            "      - {name: vendor_id,",
            "      - {name: vendor, data_type: integer}\n      - {name: vendor_id,",
        ),
    ):
        file = project / "models" / "green" / "marts" / name
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new, 1))
    receipt = pipeline.transform(built.run("plain"), JANUARY)
    assert [warning.partition(" because its columns changed")[0] for warning in receipt.warnings] == [
        "fct_trips was replaced"
    ]
    assert query("SELECT count(vendor) FROM {}.fct_trips", "plain") == [(71,)]
    assert recorded() == held()


def test_columns_that_were_changed_by_hand_are_refused_with_what_to_do(built: Publisher) -> None:
    with connect("test") as connection:
        connection.execute("ALTER TABLE plain.fct_trips ADD COLUMN mine text")
    force(built, JANUARY)
    with pytest.raises(TransformFailed, match="fct_trips has other columns than its model: drop it"):
        transform.refresh("plain")
    with connect("test") as connection:
        connection.execute("DROP TABLE plain.fct_trips")
    assert transform.refresh("plain").full
    assert recorded() == held()


def test_leftovers_of_a_killed_build_are_gone_after_the_next(built: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that is killed between dbt's end and the publication leaves its tables, which no reader knows."""
    force(built, JANUARY)
    before = held()
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(marts, "publish", interrupted)
        transform.refresh("plain")
    assert held() == before
    assert project.model_names()
    assert unpublished() == ["daily_borough_stats__unpublished", "fct_trips__unpublished"]
    assert transform.refresh("plain").months == (JANUARY.first_day,)
    assert unpublished() == []


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def unpublished() -> list[str]:
    found = query(
        "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname LIKE '%unpublished%'"
        " AND relnamespace = to_regnamespace('{}') ORDER BY 1",
        "plain",
    )
    return [name for (name,) in found]
