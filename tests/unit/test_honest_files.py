"""Files that other writers make of a published month: read to the same bits where no value can change, and otherwise a
line that says what to write instead."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.datasets import GREEN, YELLOW, ZONES, Dataset
from core.errors import BadFile, SchemaDrift
from core.extract import Extracted, sample
from core.load import batches, limits
from core.month import Month

MONTH = Month(2024, 1)
FILE = sample.file_name(MONTH)
ROWS = 500
AMOUNTS = [column.published for column in GREEN.columns if column.kind.postgres == "double precision"]


@pytest.fixture(scope="module")
def published() -> pa.Table:
    return sample.table(MONTH, rows=2 * ROWS).slice(0, ROWS).combine_chunks()


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    """Return the table with another column in place of its own of that name, or after the last."""
    place = table.column_names.index(name) if name in table.column_names else table.num_columns
    without = table.drop_columns([name]) if name in table.column_names else table
    return without.add_column(place, name, values)


def read(path: Path, dataset: Dataset = GREEN) -> pa.Table:
    """Return a file's rows as they go into the table."""
    file, month = Extracted(path, path.name, "", path.stat().st_size), MONTH if dataset.monthly else None
    return pa.Table.from_batches(batches(dataset, file, month), dataset.arrow)


def written(folder: Path, table: pa.Table, **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / FILE, **options)
    return folder / FILE


def assert_same_rows(tmp_path: Path, original: pa.Table, saved: Path) -> None:
    expected, found = read(written(tmp_path / "original", original)), read(saved)
    assert expected.num_rows == found.num_rows
    for name in GREEN.arrow.names:
        assert bits(expected[name]).equals(bits(found[name])), name


def bits(column: pa.ChunkedArray) -> pa.Array:
    """Return a column with its doubles as integers: NaN equals nothing, and -0.0 equals 0.0."""
    values = column.combine_chunks()
    return values.view(pa.int64()) if values.type == pa.float64() else values


def refusal(path: Path, dataset: Dataset = GREEN, kind: type[Exception] = SchemaDrift) -> str:
    with pytest.raises(kind) as caught:
        read(path, dataset)
    message = str(caught.value)
    assert message.startswith(path.name) and message.isprintable() and len(message) < 500
    assert "core" not in message and "edit" not in message
    return message


# --- NULL -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", [GREEN, YELLOW], ids=lambda one: one.name)
def test_a_row_without_records_may_lack_its_vendor(tmp_path: Path, dataset: Dataset) -> None:
    cab: sample.Cab = "green" if dataset is GREEN else "yellow"
    table = sample.table(MONTH, rows=ROWS, cab=cab)
    path = tmp_path / sample.file_name(MONTH, cab)
    pq.write_table(with_column(table, "VendorID", pa.array([None, *[2.0] * (table.num_rows - 1)])), path)
    assert read(path, dataset)["vendor_id"].to_pylist() == [None, *[2] * (table.num_rows - 1)]


# --- decimals ---------------------------------------------------------------------------------------------------------


def cents(values: list[float | None]) -> list[Decimal | None]:
    return [None if value is None else Decimal(f"{value:.2f}") for value in values]


@pytest.mark.parametrize(
    "kind",
    [pa.decimal128(10, 2), pa.decimal128(38, 18), pa.decimal256(50, 20), pa.decimal64(15, 3), pa.decimal32(9, 2)],
    ids=str,
)
def test_amounts_as_decimals_are_the_same_doubles(tmp_path: Path, published: pa.Table, kind: pa.DataType) -> None:
    original, saved = published, published
    for name in AMOUNTS:
        if name in published.column_names:
            exact = cents(published[name].to_pylist())
            exact = [value if value is not None and value == value and abs(value) < 10**6 else None for value in exact]
            if name in ("trip_distance", "fare_amount", "total_amount"):
                exact = [value or Decimal("9.30") for value in exact]
            saved = with_column(saved, name, pa.array(exact, kind))
            doubles = [None if value is None else float(value) for value in exact]
            original = with_column(original, name, pa.array(doubles, pa.float64()))
    assert_same_rows(tmp_path, original, written(tmp_path / "saved", saved))


def test_every_cent_survives_where_the_direct_cast_misses_one_in_eight(tmp_path: Path, published: pa.Table) -> None:
    amounts = [Decimal(number * 7919 % 10**9).scaleb(-2) for number in range(ROWS)]
    saved = with_column(published, "fare_amount", pa.array(amounts, pa.decimal128(10, 2)))
    assert read(written(tmp_path, saved))["fare_amount"].to_pylist() == [float(value) for value in amounts]


@pytest.mark.parametrize("kind", [pa.decimal128(10, 0), pa.decimal128(12, 2)], ids=str)
def test_whole_decimals_are_integers(tmp_path: Path, published: pa.Table, kind: pa.DataType) -> None:
    ids = [number % 265 + 1 for number in range(ROWS)]
    saved = with_column(published, "PULocationID", pa.array(map(Decimal, ids), kind))
    assert read(written(tmp_path, saved))["pickup_location_id"].to_pylist() == ids


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("fare_amount", "1.2345678901234567890",
         "row 3 is 1.2345678901234567890, which can't be a double without loss; round"),
        ("fare_amount", "100000000.00", "row 3 is 100000000.0000000000000000000, out of range"),
        ("PULocationID", "7.5", "row 3 is 7.5000000000000000000, which can't be a int32 without loss"),
    ],
)  # fmt: skip
def test_a_decimal_that_would_change_is_refused_by_row(
    tmp_path: Path, published: pa.Table, column: str, value: str, said: str
) -> None:
    values = [Decimal(value) if row == 2 else Decimal(7) for row in range(ROWS)]
    saved = with_column(published, column, pa.array(values, pa.decimal128(38, 19)))
    assert said in refusal(written(tmp_path, saved))


# --- single precision -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pa.float32(), pa.float16()], ids=str)
def test_amounts_in_single_precision_are_refused_by_their_type(
    tmp_path: Path, published: pa.Table, kind: pa.DataType
) -> None:
    saved = published
    for name in ("trip_distance", "fare_amount"):
        saved = with_column(saved, name, pa.array(np.full(ROWS, 9.3, kind.to_pandas_dtype())))
    message = refusal(written(tmp_path, saved))
    assert f"columns 'trip_distance' and 'fare_amount' are {kind}: single precision can't hold cents" in message
    assert "(9.3 becomes 9.300000190734863); write double" in message


def test_whole_numbers_in_single_precision_are_integers(tmp_path: Path, published: pa.Table) -> None:
    saved = with_column(published, "PULocationID", pa.array(np.full(ROWS, 265, np.float32)))
    assert set(read(written(tmp_path, saved))["pickup_location_id"].to_pylist()) == {265}


# --- a pandas index ---------------------------------------------------------------------------------------------------


def indexed(table: pa.Table, name: str, said: Any, values: Any = None) -> pa.Table:
    """Return the table with one more column, and pandas metadata that declares `said` to be the index."""
    metadata = said if isinstance(said, bytes) else json.dumps({"index_columns": said}).encode()
    more = table.append_column(name, pa.array(range(table.num_rows)) if values is None else values)
    return more.replace_schema_metadata({"pandas": metadata})


@pytest.mark.parametrize("name", ["__index_level_0__", "id", "a.b"])
def test_the_index_that_pandas_declares_is_left_out(tmp_path: Path, published: pa.Table, name: str) -> None:
    assert_same_rows(tmp_path, published, written(tmp_path / "saved", indexed(published, name, [name])))


def test_an_index_of_any_type_is_not_even_read(tmp_path: Path, published: pa.Table) -> None:
    nested = pa.array([{"VendorID": [1]}] * ROWS)
    assert_same_rows(tmp_path, published, written(tmp_path / "saved", indexed(published, "id", ["id"], nested)))


def test_a_published_column_that_is_the_index_is_read(tmp_path: Path, published: pa.Table) -> None:
    """``df.set_index("VendorID").to_parquet(...)``"""
    saved = published.replace_schema_metadata({"pandas": json.dumps({"index_columns": ["VendorID"]})})
    assert_same_rows(tmp_path, published, written(tmp_path / "saved", saved))


def test_a_filtered_frame_of_pandas_is_the_same_rows(tmp_path: Path, published: pa.Table) -> None:
    pytest.importorskip("pandas")
    # A NaN would become a NULL.
    frame = published.to_pandas().fillna({"trip_distance": 0, "fare_amount": 0, "total_amount": 0})
    frame[frame.trip_distance > 1].to_parquet(tmp_path / FILE)
    assert "__index_level_0__" in pq.read_schema(tmp_path / FILE).names
    assert read(tmp_path / FILE).num_rows == (frame.trip_distance > 1).sum()
    # A RangeIndex is only in the metadata.
    frame.to_parquet(tmp_path / FILE)
    assert read(tmp_path / FILE).num_rows == ROWS


@pytest.mark.parametrize(
    "said",
    [
        b"", b"{", b"[" * 100_000, b"[]", b"null", b"\xff", [], None, 7, [7, None, {"kind": "range"}],
        "__index_level_0__", ["other"],
    ],
    ids=range(12),
)  # fmt: skip
def test_an_index_that_the_metadata_does_not_declare_is_refused(tmp_path: Path, published: pa.Table, said: Any) -> None:
    message = refusal(written(tmp_path, indexed(published, "__index_level_0__", said)))
    assert message.endswith("'__index_level_0__' is not one that green declares; write the file with index=False")


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [str.lower, str.upper, str.swapcase])
def test_names_in_another_case_are_the_same_columns(tmp_path: Path, published: pa.Table, change: Any) -> None:
    saved = published.rename_columns([change(name) for name in published.column_names])
    assert_same_rows(tmp_path, published, written(tmp_path / "saved", saved))


def test_a_lookup_may_have_its_names_in_another_case(tmp_path: Path) -> None:
    path = tmp_path / sample.ZONES
    sample.write_zones(path)
    expected, (header, rest) = read(path, ZONES), path.read_bytes().split(b"\r\n", 1)
    path.write_bytes(header.lower() + b"\r\n" + rest)
    assert read(path, ZONES).equals(expected)


def test_two_cases_of_one_name_are_refused(tmp_path: Path, published: pa.Table) -> None:
    message = refusal(written(tmp_path, published.append_column("vendorid", published["VendorID"])))
    assert "columns 'VendorID' and 'vendorid' are the same one under two names" in message


def test_names_of_another_style_are_refused_with_what_is_expected(tmp_path: Path, published: pa.Table) -> None:
    renamed = {"VendorID": "vendor_id", "PULocationID": "pickup_location_id", "RatecodeID": "rate_code_id"}
    message = refusal(written(tmp_path, published.rename_columns(renamed)))
    assert (
        "columns 'vendor_id' (expected: 'VendorID'), 'rate_code_id' (expected: 'RatecodeID') and 'pickup_location_id' "
        "(expected: 'PULocationID') are not among those that green declares; rename to what is expected"
    ) in message


def test_all_unknown_columns_are_in_one_line(tmp_path: Path, published: pa.Table) -> None:
    saved = published
    for name in ("duration", "Unnamed: 0", "filename", "year"):
        saved = saved.append_column(name, pa.nulls(ROWS, pa.int64()))
    message = refusal(written(tmp_path, saved))
    assert "columns 'duration', 'Unnamed: 0', 'filename' and 'year' are not among those" in message
    assert "index=False; write the file without what was added; if the publisher added it, update Triptych" in message


def test_a_line_of_many_unknown_columns_stays_short(tmp_path: Path, published: pa.Table) -> None:
    more = {f"column number {number} of many": pa.nulls(ROWS, pa.int64()) for number in range(200)}
    saved = pa.table({**dict(zip(published.column_names, published.columns, strict=True)), **more})
    assert "'column number 0 of many'" in (message := refusal(written(tmp_path, saved))) and " more are not" in message


def test_all_missing_columns_are_in_one_line(tmp_path: Path, published: pa.Table) -> None:
    saved = published.drop_columns(["trip_distance", "PULocationID"])
    assert "required columns 'PULocationID' and 'trip_distance' are missing; " in refusal(written(tmp_path, saved))


# --- time zones -------------------------------------------------------------------------------------------------------


def test_times_flagged_as_utc_are_refused_with_the_remedy(tmp_path: Path, published: pa.Table) -> None:
    saved, names = published, ("lpep_pickup_datetime", "lpep_dropoff_datetime")
    for name in names:
        saved = with_column(saved, name, published[name].cast(pa.timestamp("us", "UTC")))
    message = refusal(written(tmp_path / "flagged", saved))
    assert (
        "columns 'lpep_pickup_datetime' and 'lpep_dropoff_datetime' are timestamp[us, tz=UTC]: a time zone" in message
    )
    assert "Spark: timestamp_ntz" in message and "ClickHouse: toString" in message
    for name in names:
        saved = with_column(saved, name, pa.array([f"{value:%Y-%m-%d %H:%M:%S}" for value in times(published, name)]))
    assert_same_rows(tmp_path, published, written(tmp_path / "text", saved))


def times(table: pa.Table, name: str) -> list[dt.datetime]:
    return [value.as_py() for value in table[name]]


# --- many small row groups --------------------------------------------------------------------------------------------


def test_a_file_in_small_row_groups_is_read(tmp_path: Path, published: pa.Table) -> None:
    assert_same_rows(tmp_path, published, written(tmp_path / "saved", published, row_group_size=2))


def test_a_file_in_too_many_row_groups_is_refused_with_the_remedy(
    tmp_path: Path, published: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FOOTER_MB", 0.5)
    message = refusal(written(tmp_path, published, row_group_size=1), kind=BadFile)
    assert "MB of footer" in message and message.endswith("write the file in fewer, larger row groups")
