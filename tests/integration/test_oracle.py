"""The oracle on real tables: it agrees with what the loader wrote, and notices later changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from core import pipeline
from core.extract import sample
from core.month import parse_months
from core.run import Run
from tests import oracle

RAW = ("raw_zones", "raw_trips")
SCHEMA = "oracle_1"
MONTHS = ("2020-03", "2020-04", "2023-01", "2023-02", "2024-01", "2025-02", "2025-03")

Differences = Callable[[], list[str]]


def load(folder: Path, months: tuple[str, ...]) -> None:
    # `accept_suspect`, because one file has no rows.
    run = Run(str(folder), SCHEMA, loader="plain", accept_suspect=True)
    pipeline.ingest_zones(run)
    for month in parse_months(",".join(months)):
        pipeline.ingest_month(run, month)


@pytest.fixture
def differences(warehouse: str, tmp_path: Path) -> Differences:
    """All eras and the empty month, loaded; returns the differences that the oracle sees."""
    folder = tmp_path / "files"
    paths = sample.ensure(folder, parse_months(",".join(MONTHS)), rows=500)
    pq.write_table(pq.read_table(paths[1]).slice(0, 0), paths[1])
    load(folder, MONTHS)
    files = dict(zip(MONTHS, paths, strict=True))
    return lambda: oracle.differences(warehouse, SCHEMA, files, folder / sample.ZONES, RAW)


def change(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(SCHEMA)))
        connection.execute(statement.encode())


def test_every_era_is_loaded_as_published(differences: Differences) -> None:
    assert differences() == []


@pytest.mark.parametrize(
    ("statement", "lines"),
    [
        ("UPDATE raw_trips SET fare_amount = 0.0 WHERE fare_amount = 0 AND source_month = '2024-01-01'",
         ["raw_trips 2024-01 row", "column fare_amount: expected -0.0 (0x8000000000000000), found 0.0"]),
        ("UPDATE raw_trips SET total_amount = 'NaN' WHERE total_amount = 'NaN' AND source_month = '2025-02-01'",
         ["raw_trips 2025-02 row", "column total_amount: expected nan (0xfff8000000000000), found nan (0x7ff8"]),
        ("UPDATE raw_trips SET ehail_fee = 0 WHERE source_month = '2020-03-01' AND row_number = 7",
         ["raw_trips 2020-03 row 7, column ehail_fee: expected NULL, found 0.0"]),
        ("DELETE FROM raw_trips WHERE source_month = '2023-01-01' AND row_number = 9",
         ["raw_trips 2023-01 row 9: expected (", "found no such row"]),
        ("INSERT INTO raw_trips SELECT * FROM raw_trips WHERE source_month = '2023-02-01' AND row_number = 9",
         ["raw_trips 2023-02 row 9: expected no such row, or fewer of it, found ("]),
        ("UPDATE raw_zones SET borough = NULL WHERE location_id = 265",
         ["raw_zones row 265, column borough: expected 'N/A', found NULL"]),
        ("ALTER TABLE raw_trips ALTER fare_amount TYPE numeric",
         ["raw_trips: columns: expected [", "('fare_amount', 'numeric')"]),
        ("ALTER TABLE raw_zones RENAME TO other", ["raw_zones: there is no such table in schema"]),
        ("CREATE TABLE raw_trips_2024_05 PARTITION OF raw_trips FOR VALUES IN ('2024-05-01');"
         "INSERT INTO raw_trips (source_month, row_number, vendor_id, pickup_datetime, dropoff_datetime,"
         " pickup_location_id, dropoff_location_id, trip_distance, fare_amount, total_amount)"
         " VALUES ('2024-05-01', 1, 2, '2024-05-01', '2024-05-01', 74, 75, 1, 1, 1)",
         ["raw_trips 2024-05-01: expected no rows, found 1"]),
    ],
    ids=["sign of zero", "sign of NaN", "value for NULL", "lost", "doubled", "NULL for text", "type", "table", "month"],
)  # fmt: skip
def test_a_change_after_the_load_is_noticed(
    warehouse: str, differences: Differences, statement: str, lines: list[str]
) -> None:
    change(warehouse, statement)
    (line,) = differences()
    assert all(part in line for part in lines), line


def test_two_values_that_changed_places_are_noticed(warehouse: str, differences: Differences) -> None:
    """Every sum and every count stays the same."""
    change(
        warehouse,
        """UPDATE raw_trips SET pickup_location_id = 74 + 75 - pickup_location_id
           WHERE source_month = '2024-01-01' AND row_number IN (
               SELECT min(row_number) FROM raw_trips
               WHERE source_month = '2024-01-01' AND pickup_location_id IN (74, 75) GROUP BY pickup_location_id)""",
    )
    lines = differences()
    assert len(lines) == 2
    assert any("column pickup_location_id: expected 74, found 75" in line for line in lines)
    assert any("column pickup_location_id: expected 75, found 74" in line for line in lines)


def test_the_real_files_are_loaded_as_published(warehouse: str, real_data: Path) -> None:
    files = {path.stem[-7:]: path for path in sorted((real_data / "green").glob("*.parquet"))}
    load(real_data, tuple(files))
    assert oracle.differences(warehouse, SCHEMA, files, real_data / sample.ZONES, RAW) == []
