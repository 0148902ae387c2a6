"""The oracle can fail: every kind of damage to a table is seen, and named by table, month, row and column."""

from __future__ import annotations

import ast
import datetime as dt
import math
import random
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from core.extract import sample
from core.month import Month
from tests import oracle
from tests.oracle import FCT_TRIPS, RAW_TRIPS, Column, Row

MONTHS = {month: Month.parse(month) for month in ("2020-03", "2024-01", "2025-02")}
NAMES = [column.name for column in RAW_TRIPS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("oracle")
    sample.ensure(folder, MONTHS.values(), rows=sample.FEWEST_ROWS)
    return folder


def path(folder: Path, month: str) -> Path:
    return folder / sample.file_name(Month.parse(month))


@pytest.fixture
def trips(folder: Path) -> list[Row]:
    return oracle.expected_trips("2024-01", path(folder, "2024-01"))


def compare(expected: list[Row], found: list[Row]) -> list[str]:
    return list(oracle.compare("raw_trips", RAW_TRIPS, 2, expected, found))


def with_value(row: Row, column: str, value: Any) -> Row:
    place = NAMES.index(column)
    return (*row[:place], value, *row[place + 1 :])


def bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def first_row(trips: list[Row], column: str, value: Any) -> int:
    """The index of a row whose `column` holds `value`."""
    return next(i for i, row in enumerate(trips) if row[NAMES.index(column)] == value)


# ---------------------------------------------------------------- it stands alone


def test_the_oracle_imports_nothing_of_the_pipeline() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name for name in imported if name.split(".")[0] in ("core", "tests")}


# ---------------------------------------------------------------- damage is seen


def test_equal_rows_have_no_difference_in_any_order(trips: list[Row]) -> None:
    shuffled = random.Random(1).sample(trips, len(trips))
    assert compare(trips, trips) == compare(trips, shuffled) == []


@pytest.mark.parametrize("column", ["trip_distance", "fare_amount", "tip_amount", "congestion_surcharge"])
@pytest.mark.parametrize("bit", [0, 31, 63])
def test_one_flipped_bit(trips: list[Row], column: str, bit: int) -> None:
    place = NAMES.index(column)
    row = next(i for i, trip in enumerate(trips) if trip[place] is not None)
    value = struct.unpack("<q", struct.pack("<Q", trips[row][place] % 2**64 ^ 1 << bit))[0]
    (line,) = compare(trips, [*trips[:row], with_value(trips[row], column, value), *trips[row + 1 :]])
    assert line.startswith(f"raw_trips 2024-01 row {row + 1}, column {column}: expected ")


@pytest.mark.parametrize("column", NAMES[2:])
def test_two_values_swapped_between_rows(trips: list[Row], column: str) -> None:
    place = NAMES.index(column)
    distinct = {row[place]: i for i, row in enumerate(trips)}
    if len(distinct) < 2:
        assert column in ("ehail_fee", "cbd_congestion_fee")  # nothing to swap in this month
        return
    (one, i), (two, j) = list(distinct.items())[:2]
    damaged = list(trips)
    damaged[i], damaged[j] = with_value(trips[i], column, two), with_value(trips[j], column, one)
    lines = compare(trips, damaged)
    assert len(lines) == 2
    assert {line.split(",")[0] for line in lines} == {f"raw_trips 2024-01 row {row + 1}" for row in (i, j)}
    assert all(f"column {column}: expected " in line for line in lines)


def test_a_lost_row(trips: list[Row]) -> None:
    (line,) = compare(trips, trips[:99] + trips[100:])
    assert line.startswith("raw_trips 2024-01 row 100: expected (2024-01-01, 100, ")
    assert line.endswith("found no such row")


def test_a_doubled_row(trips: list[Row]) -> None:
    (line,) = compare(trips, [*trips, trips[99]])
    assert line.startswith("raw_trips 2024-01 row 100: expected no such row, or fewer of it, found (2024-01-01, 100, ")


def test_one_row_lost_and_another_doubled(trips: list[Row]) -> None:
    lines = compare(trips, [*trips[:99], trips[100], *trips[100:]])
    assert len(lines) == 2 and "row 100: expected (" in lines[0] and "row 101: expected no such row" in lines[1]


def test_two_rows_that_change_places(trips: list[Row]) -> None:
    """The file's order is kept: row 1 and row 2 with each other's number are four wrong cells at least."""
    first, second = trips[0], trips[1]
    lines = compare(trips, [(*first[:2], *second[2:]), (*second[:2], *first[2:]), *trips[2:]])
    assert any("row 1, column" in line for line in lines) and any("row 2, column" in line for line in lines)


def test_a_row_in_another_month(trips: list[Row]) -> None:
    moved = with_value(trips[0], "source_month", dt.date(2024, 2, 1))
    lines = compare(trips, [moved, *trips[1:]])
    assert len(lines) == 2 and "2024-01 row 1: expected (" in lines[0] and "2024-02 row 1" in lines[1]


@pytest.mark.parametrize(
    ("column", "published", "found", "shown"),
    [
        ("fare_amount", bits(math.nan), None, "expected nan (0x7ff8000000000000), found NULL"),
        ("total_amount", bits(-math.nan), bits(math.nan), "expected nan (0xfff8000000000000), found nan (0x7ff8"),
        ("fare_amount", bits(-0.0), bits(0.0), "expected -0.0 (0x8000000000000000), found 0.0 (0x0000000000000000)"),
        ("tolls_amount", bits(0.1 + 0.2), bits(0.3), "expected 0.30000000000000004, found 0.3"),
        ("fare_amount", bits(2.675), bits(2.68), "expected 2.675, found 2.68"),
    ],
)
def test_what_a_careless_loader_does_to_hard_values(
    trips: list[Row], column: str, published: int, found: int | None, shown: str
) -> None:
    row = first_row(trips, column, published)
    (line,) = compare(trips, [*trips[:row], with_value(trips[row], column, found), *trips[row + 1 :]])
    assert shown in line


def test_null_is_neither_zero_nor_empty(trips: list[Row]) -> None:
    row = first_row(trips, "payment_type", None)
    for column, value in (("payment_type", 0), ("store_and_fwd_flag", ""), ("congestion_surcharge", bits(math.nan))):
        (line,) = compare(trips, [*trips[:row], with_value(trips[row], column, value), *trips[row + 1 :]])
        assert "expected NULL, found" in line


def test_a_microsecond(trips: list[Row]) -> None:
    later = with_value(trips[0], "pickup_datetime", trips[0][NAMES.index("pickup_datetime")] + 1)
    (line,) = compare(trips, [later, *trips[1:]])
    assert ".000001" in line


def test_many_differences_are_counted_not_listed(trips: list[Row]) -> None:
    lines = compare(trips, [])
    assert len(lines) == oracle.SHOWN + 1
    assert lines[-1] == f"raw_trips: {len(trips)} rows are missing and 0 should not be there, in all"


# ---------------------------------------------------------------- what it reads


def test_all_eras_are_read_alike(folder: Path) -> None:
    for month in MONTHS:
        rows = oracle.expected_trips(month, path(folder, month))
        assert [row[1] for row in rows] == list(range(1, len(rows) + 1))
        assert {row[0] for row in rows} == {dt.date.fromisoformat(f"{month}-01")}
        kinds = {c.name: {type(row[i]) for row in rows} - {type(None)} for i, c in enumerate(RAW_TRIPS)}
        assert kinds["store_and_fwd_flag"] == {str} and kinds["ehail_fee"] == set()
        assert kinds["cbd_congestion_fee"] == ({int} if month >= "2025" else set())
        assert all(kinds[c.name] <= {int} for c in RAW_TRIPS[1:] if c.type != "text")


def test_the_same_rows_in_another_encoding_are_the_same(folder: Path, tmp_path: Path) -> None:
    for name, month in MONTHS.items():
        sample.write_month(tmp_path / "twin.parquet", month, rows=sample.FEWEST_ROWS, encoding=sample.RESAVED)
        assert oracle.expected_trips(name, tmp_path / "twin.parquet") == oracle.expected_trips(name, path(folder, name))


def test_an_empty_month_has_no_rows(tmp_path: Path) -> None:
    pq.write_table(sample.table(Month(2020, 4)).slice(0, 0), tmp_path / "empty.parquet")
    assert oracle.expected_trips("2020-04", tmp_path / "empty.parquet") == []


def test_the_zones_keep_their_text(folder: Path) -> None:
    zones = oracle.expected_zones(folder / sample.ZONES)
    assert zones[263:] == [(264, "Unknown", "N/A", "N/A"), (265, "N/A", "Outside of NYC", "N/A")]


# ---------------------------------------------------------------- the marts' rules


@pytest.mark.parametrize(
    ("published", "exact"),
    [
        (2.675, "2.68"), (0.125, "0.13"), (-0.005, "-0.01"), (1.005, "1.01"), (0.1 + 0.2, "0.30"), (-0.0, "0.00"),
        (1e-7, "0.00"), (99999999.99, "99999999.99"), (1e8, None), (math.nan, None), (-math.inf, None),
    ],
)  # fmt: skip
def test_money_is_exact_to_the_cent(published: float, exact: str | None) -> None:
    assert oracle.money(bits(published)) == (None if exact is None else Decimal(exact))


def test_distance_keeps_its_digits() -> None:
    assert oracle.distance(bits(1.23456)) == Decimal("1.23456")
    assert oracle.distance(bits(259777.0)) == 259777
    assert oracle.distance(bits(math.nan)) is oracle.distance(None) is None


def test_shares_need_a_positive_whole() -> None:
    assert oracle.share(Decimal(2), Decimal(12)) == Decimal("0.1667")
    assert oracle.share(Decimal("0.00005"), Decimal(1)) == Decimal("0.0001")
    assert [oracle.share(Decimal(1), whole) for whole in (Decimal(0), Decimal(-1), None)] == [None] * 3
    assert oracle.share(None, Decimal(1)) is None


def test_facts_follow_from_trips(folder: Path, trips: list[Row]) -> None:
    names = [column.name for column in FCT_TRIPS]
    facts = [dict(zip(names, row, strict=True)) for row in oracle.expected_facts(trips, folder / sample.ZONES)]
    assert len(facts) == len(trips)
    assert {fact["rate_code_id"] for fact in facts} <= {1, 2, 3, 4, 5, 6, None}
    assert {fact["is_stored_and_forwarded"] for fact in facts} >= {False, None}
    assert {fact["payment_label"] for fact in facts} >= {"Credit card", "Cash", "Unknown", "Not recorded"}
    assert min(fact["duration_seconds"] for fact in facts) < 0
    assert dt.date(2008, 12, 31) in {fact["pickup_date"] for fact in facts}


def test_a_trip_without_a_known_pickup_zone_is_no_fact(folder: Path, trips: list[Row]) -> None:
    unknown = with_value(with_value(trips[0], "pickup_location_id", 999), "dropoff_location_id", 74)
    nowhere = with_value(with_value(trips[1], "pickup_location_id", 265), "dropoff_location_id", 999)
    (fact,) = oracle.expected_facts([unknown, nowhere], folder / sample.ZONES)
    shown = dict(zip([column.name for column in FCT_TRIPS], fact, strict=True))
    assert (shown["pickup_borough"], shown["pickup_zone"]) == ("Outside of NYC", "Outside of NYC")
    assert (shown["dropoff_borough"], shown["dropoff_zone"]) == (None, None)


def test_stats_sum_exactly_and_take_the_lower_median() -> None:
    def fact(fare: str | None, seconds: int) -> Row:
        known: dict[str, Any] = {
            "pickup_date": dt.date(2024, 1, 31),
            "pickup_borough": "Queens",
            "source_month": dt.date(2024, 1, 1),
        }
        known |= {"fare_amount": None if fare is None else Decimal(fare), "duration_seconds": Decimal(seconds)}
        return tuple(known.get(column.name) for column in FCT_TRIPS)

    facts = [fact("0.10", 60), fact("0.20", -60), fact(None, 61), fact("7.00", 62), fact("-7.00", 63)]
    (row,) = oracle.expected_stats(facts)
    zero = Decimal(0)
    assert row[:7] == (dt.date(2024, 1, 31), "Queens", 5, zero, Decimal("0.30"), zero, zero)
    assert row[7:] == (None, Decimal("0.10"), Decimal(61), "2024-01-01")


def test_a_difference_in_a_mart_names_its_key() -> None:
    columns = (Column("pickup_date", "date"), Column("borough", "text"), Column("trips", "bigint"))
    day = dt.date(2024, 1, 31)
    lines = list(oracle.compare("daily_borough_stats", columns, 2, [(day, "Queens", 5)], [(day, "Queens", 6)]))
    assert lines == ["daily_borough_stats 2024-01-31 Queens, column trips: expected 5, found 6"]
