"""Every published encoding conforms to the one declared schema, without loss, or is refused by name, row and value."""

from __future__ import annotations

import dataclasses
import math
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import load
from core.datasets import (  # fmt: skip
    DATASETS,
    DOUBLE,
    GREEN,
    INTEGER,
    TEXT,
    TIMESTAMP,
    YELLOW,
    ZONES,
    Column,
    Dataset,
    Kind,
    dataset,
)
from core.errors import SchemaDrift, UsageError
from core.extract import Extracted, sample
from core.load import reading
from core.load.casting import LIMIT, conform
from core.load.columns import check_columns
from core.month import Month

# No deadline: a busy machine is not a fault. The same examples each time: a build does not fail by chance.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")

FILE = "green_tripdata_2024-01.parquet"
MONTH = Month(2024, 1)

PLAIN: dict[Kind, pa.Array] = {
    INTEGER: pa.array([1, 2, 3], pa.int32()),
    DOUBLE: pa.array([1.5, -0.01, 99_999_999.99]),
    TIMESTAMP: pa.array([0, 1_704_067_200_000_000, -1], pa.timestamp("us")),
    TEXT: pa.array(["N", "", "Y"]),
}


def trips(**columns: pa.Array | None) -> pa.Table:
    """Return three rows in the publisher's columns, with some replaced, or left out (None)."""
    published = {column.published: PLAIN[column.kind] for column in GREEN.columns} | columns
    return pa.table({name: values for name, values in published.items() if values is not None})


def conformed(table: pa.Table, file: str = FILE) -> pa.Table:
    """Return the table as the declared schema has it, without the identity columns."""
    check_columns(GREEN, table.schema, file)
    (batch,) = table.combine_chunks().to_batches()
    names = [column.published for column in GREEN.columns]
    return pa.table(dict(zip(names, conform(GREEN, batch, file, 1), strict=True)))


def refusal(table: pa.Table) -> str:
    """Return the message that refuses a table: one line that names the file."""
    with pytest.raises(SchemaDrift) as caught:
        conformed(table)
    message = str(caught.value)
    assert message.startswith(f"{FILE}: column")
    assert message.isprintable()
    return message


# --- what conforms ----------------------------------------------------------------------------------------------------

TEXT_TYPES = (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()))
NUMBER_TYPES = (
    *TEXT_TYPES,
    pa.int64(),
    pa.int16(),
    pa.uint64(),
    pa.float64(),
    pa.float32(),
    pa.decimal128(21, 2),
    pa.dictionary(pa.int32(), pa.int64()),
)


def encoded(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the same values in another type, as a file may hold them."""
    if pa.types.is_dictionary(kind):
        codes = values.cast(kind.value_type).dictionary_encode()
        return pa.DictionaryArray.from_arrays(codes.indices.cast(kind.index_type), codes.dictionary)
    if pa.types.is_string_view(kind):
        return values.cast(pa.string()).cast(kind)
    return values.cast(kind)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (column, kind)
        for column in ("VendorID", "passenger_count", "fare_amount")
        for kind in NUMBER_TYPES
        # Single precision: see tests/unit/test_honest_files.py.
        if (column, kind) != ("fare_amount", pa.float32())
    ],
    ids=str,
)
def test_numbers_conform_from_every_type_that_holds_them(column: str, kind: pa.DataType) -> None:
    whole = pa.array([1, None if column == "passenger_count" else 5, 265])
    found = conformed(trips(**{column: encoded(whole, kind)}))[column]
    assert found.to_pylist() == whole.to_pylist()
    assert found.type == (pa.float64() if column == "fare_amount" else pa.int32())


@pytest.mark.parametrize("kind", [*TEXT_TYPES, *map(pa.timestamp, ("s", "ms", "us", "ns"))], ids=str)
def test_timestamps_conform_from_every_type_that_holds_them(kind: pa.DataType) -> None:
    moments = pa.array([0, 1_704_067_199_000_000, 2_261_145_600_000_000], pa.timestamp("us"))
    found = conformed(trips(lpep_pickup_datetime=encoded(moments, kind)))["lpep_pickup_datetime"]
    assert found.combine_chunks() == moments


@pytest.mark.parametrize("text", ["2024-01-31 23:59:59", "2024-01-31T23:59:59", "2024-01-31 23:59:59.000000"])
def test_timestamps_conform_from_the_texts_that_tools_write(text: str) -> None:
    found = conformed(trips(lpep_pickup_datetime=pa.array([text] * 3)))["lpep_pickup_datetime"]
    assert {str(value) for value in found} == {"2024-01-31 23:59:59"}


@pytest.mark.parametrize("kind", TEXT_TYPES, ids=str)
def test_text_conforms_from_every_type_that_holds_it(kind: pa.DataType) -> None:
    text = pa.array(["N/A", None, "Łódź\n'\"\\\t"])
    assert conformed(trips(store_and_fwd_flag=encoded(text, kind)))["store_and_fwd_flag"].combine_chunks() == text


@pytest.mark.parametrize("column", [column for column in GREEN.columns if column.nullable], ids=lambda c: c.published)
@pytest.mark.parametrize("empty", [None, pa.nulls(3), pa.DictionaryArray.from_arrays([0, 0, 0], pa.nulls(1))])
def test_a_nullable_column_without_a_type_or_missing_is_null(column: Column, empty: pa.Array | None) -> None:
    found = conformed(trips(**{column.published: empty}))[column.published]
    assert found.type == column.kind.arrow
    assert found.null_count == 3


def test_the_order_of_the_published_columns_does_not_matter() -> None:
    table = trips()
    assert conformed(table.select(table.column_names[::-1])) == conformed(table)


def test_doubles_keep_every_bit() -> None:
    hard = [float("nan"), -float("nan"), -0.0, 5e-324, 0.1 + 0.2, math.nextafter(LIMIT, 0), -math.nextafter(LIMIT, 0)]
    values = pa.array(hard)
    table = trips().take([0] * len(hard)).set_column(9, "fare_amount", values)
    found = conformed(table)["fare_amount"].combine_chunks()
    assert found.buffers()[1].equals(values.buffers()[1])


def test_a_slice_conforms_as_its_own_rows_do() -> None:
    table = trips(store_and_fwd_flag=encoded(pa.array(["a", None, "c"]), pa.string_view()))
    assert conformed(table.slice(1, 2)) == conformed(table).slice(1, 2)


@pytest.mark.parametrize(
    "encoding", [sample.LEGACY, sample.MODERN, sample.RESAVED], ids=["legacy", "modern", "resaved"]
)
def test_the_same_rows_conform_alike_from_every_era(encoding: sample.Encoding) -> None:
    month = Month(2025, 2)
    (published,) = conformed(sample.table(month, rows=500)).combine_chunks().to_batches()
    (found,) = conformed(sample.table(month, rows=500, encoding=encoding)).combine_chunks().to_batches()
    assert [column.buffers()[-1] for column in found.columns] == [column.buffers()[-1] for column in published.columns]
    assert [column.null_count for column in found.columns] == [column.null_count for column in published.columns]


def test_every_real_file_conforms(real_data: Path) -> None:
    for path in sorted((real_data / "green").glob("*.parquet")):
        month = Month.parse(path.stem[-7:])
        found = pa.Table.from_batches(load.batches(GREEN, local(path), month))
        published = pq.read_table(path)
        assert found.schema == GREEN.arrow
        assert found["row_number"].to_pylist() == list(range(1, published.num_rows + 1))
        for column in GREEN.columns:
            assert_same(found[column.name], column, published)


def test_a_file_re_saved_with_foreign_columns_is_refused(real_data: Path) -> None:
    path = real_data / "bad" / "green_tripdata_2021-01.altered.parquet"
    with pytest.raises(SchemaDrift, match=r"altered\.parquet: column 'duration' is not one that green declares"):
        list(load.batches(GREEN, local(path), MONTH))


def local(path: Path) -> Extracted:
    return Extracted(path, path.name, "", 0)


def assert_same(found: pa.ChunkedArray, column: Column, published: pa.Table) -> None:
    """Return whether the file's own values, compared as doubles, timestamps or text, equal the result."""
    if column.published not in published.column_names:
        assert found.null_count == len(found)
        return
    wide = pa.float64() if column.kind in (INTEGER, DOUBLE) else column.kind.arrow
    original = published[column.published].cast(wide)
    assert original.null_count == found.null_count
    assert pc.all(pc.equal(original, found.cast(wide))).as_py() is not False


# --- what is refused --------------------------------------------------------------------------------------------------

BEYOND = 2**40


def bytes_as_text(*values: bytes) -> pa.Array:
    """Return text that is not UTF-8, as a damaged file holds it."""
    ends = [sum(map(len, values[:i])) for i in range(len(values) + 1)]
    return pa.Array.from_buffers(
        pa.string(),
        len(values),
        [None, pa.py_buffer(struct.pack(f"{len(ends)}i", *ends)), pa.py_buffer(b"".join(values))],
    )


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("PULocationID", pa.array([1, None, 2]), "row 2 is NULL"),
        ("PULocationID", pa.nulls(3), "row 1 is NULL"),
        ("PULocationID", pa.DictionaryArray.from_arrays([0, 0, 1], pa.array(["1", None])), "row 3 is NULL"),
        ("VendorID", pa.array([1.0, 1.5, 2.5]), "row 2 is 1.5"),
        ("VendorID", pa.array([1.0, 2.0, float("nan")]), "row 3 is nan"),
        ("VendorID", pa.array([BEYOND, 1, 2]), f"row 1 is {BEYOND}"),
        ("VendorID", pa.array([1, 2**31, 2]), f"row 2 is {2**31}"),
        ("VendorID", pa.array([1, 2, 2**64 - 1], pa.uint64()), f"row 3 is {2**64 - 1}"),
        ("VendorID", pa.array([1.0, 1e300, 2]), "row 2 is 1e+300"),
        ("VendorID", pa.array(["1", "2", "three"]), "row 3 is 'three'"),
        ("VendorID", pa.array(["1", "", "2"]), "row 2 is ''"),
        ("VendorID", encoded(pa.array(["1", "1.0", "2"]), pa.string_view()), "row 2 is '1.0'"),
        ("fare_amount", pa.array([1.0, math.inf, 2.0]), "row 2 is inf"),
        ("fare_amount", pa.array(["1", "2", "-inf"]), "row 3 is '-inf'"),
        ("fare_amount", pa.array(["1", "1e400", "2"]), "row 2 is '1e400'"),
        ("fare_amount", pa.array([1.0, 2.0, -LIMIT]), "row 3 is -1"),
        ("fare_amount", pa.array([1, 10**8, 2]), "row 2 is 100000000"),
        ("fare_amount", pa.array([1, 2**53 + 1, 2]), f"row 2 is {2**53 + 1}"),
        ("fare_amount", pa.array(["1", "$2", "3"]), "row 2 is '$2'"),
        ("lpep_pickup_datetime", pa.array([1000, 1001, 1], pa.timestamp("ns")),
         "row 2 is 1970-01-01 00:00:00.000001001"),
        ("lpep_pickup_datetime", pa.array([0, 2**60, 0], pa.timestamp("s")), "row 2 is "),
        ("lpep_pickup_datetime", pa.array([0, 253_402_300_800, 0], pa.timestamp("s")), "row 2 is "),
        ("lpep_pickup_datetime", pa.array([0, 0, -62_135_596_801], pa.timestamp("s")), "row 3 is "),
        ("lpep_pickup_datetime", pa.array(["2024-01-01 00:00:00", "2024-01-01T00:00:00Z", ""]),
         "row 2 is '2024-01-01T00:00:00Z'"),
        ("lpep_pickup_datetime", pa.array(["2024-01-01", "2024-01-02", "2024-01-01 00:00:00+01:00"]), "row 3 is "),
        ("lpep_pickup_datetime", pa.array(["2024-01-01 00:00:00.1234567"] * 3), "row 1 is "),
        ("lpep_pickup_datetime", pa.array(["2024-02-30", "2024-01-02", ""]), "row 1 is '2024-02-30'"),
        ("store_and_fwd_flag", pa.array(["N", "N\0Y", "\0"]), r"row 2 is 'N\x00Y'"),
        ("store_and_fwd_flag", bytes_as_text(b"ok", b"\xffN", b"ok"), r"row 2 is not UTF-8: b'\xffN'"),
        ("store_and_fwd_flag", bytes_as_text(b"ok", b"\xc3", b"\xa9"), r"row 2 is not UTF-8: b'\xc3'"),
        ("store_and_fwd_flag", pa.array(["N", "\x1b[31m\n\0" + "x" * 999, "Y"]), "row 2 is "),
    ],
)  # fmt: skip
def test_a_value_that_would_be_lost_is_refused_by_column_row_and_value(
    column: str, values: pa.Array, said: str
) -> None:
    message = refusal(trips(**{column: values}))
    assert f"column {column!r}: {said}" in message
    assert len(message) < 250


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("VendorID", pa.bool_()), ("VendorID", pa.timestamp("us")), ("VendorID", pa.date32()),
        ("fare_amount", pa.bool_()), ("fare_amount", pa.binary()), ("fare_amount", pa.list_(pa.float64())),
        ("lpep_pickup_datetime", pa.int64()), ("lpep_pickup_datetime", pa.date32()),
        ("lpep_pickup_datetime", pa.time64("us")),
        ("store_and_fwd_flag", pa.binary()), ("store_and_fwd_flag", pa.int64()), ("store_and_fwd_flag", pa.bool_()),
        ("store_and_fwd_flag", pa.struct({"a": pa.string()})),
        ("store_and_fwd_flag", pa.run_end_encoded(pa.int32(), pa.string())),
        ("store_and_fwd_flag", pa.dictionary(pa.int8(), pa.binary())),
    ],
)  # fmt: skip
def test_a_foreign_type_is_refused_by_column_and_type(column: str, kind: pa.DataType) -> None:
    schema = trips().schema
    changed = schema.set(schema.get_field_index(column), pa.field(column, kind))
    with pytest.raises(SchemaDrift, match=rf"^{re.escape(f'{FILE}: column {column!r} is ')}.* is never a "):
        check_columns(GREEN, changed, FILE)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "+00:00"])
@pytest.mark.parametrize(
    "wrap", [lambda kind: kind, lambda kind: pa.dictionary(pa.int8(), kind)], ids=["plain", "dictionary"]
)
def test_a_time_zone_is_refused(zone: str, wrap: Any) -> None:
    schema = trips().schema.set(1, pa.field("lpep_pickup_datetime", wrap(pa.timestamp("us", zone))))
    with pytest.raises(SchemaDrift, match=r"'lpep_pickup_datetime' is timestamp.*a time zone would shift every value"):
        check_columns(GREEN, schema, FILE)


@pytest.mark.parametrize("name", ["airport_fee", "VendorlD", "VendorID ", "", "__index_level_0__", "a\nb"])
def test_an_unknown_column_is_refused_by_name(name: str) -> None:
    message = refusal(trips().append_column(name, pa.nulls(3)))
    assert f"column {name!r} " in message and " is not one that green declares; " in message


@pytest.mark.parametrize("column", [column.published for column in GREEN.columns if not column.nullable])
def test_a_missing_required_column_is_refused_by_name(column: str) -> None:
    with pytest.raises(SchemaDrift, match=f"^{FILE}: required column '{column}' is missing"):
        conformed(trips(**{column: None}))


def test_a_repeated_column_is_refused_by_name() -> None:
    assert "column 'extra' is there twice" in refusal(trips().append_column("extra", pa.nulls(3)))


def test_a_file_can_not_bring_its_own_month_column() -> None:
    assert "'source_month' is not one that" in refusal(trips().append_column("source_month", pa.nulls(3)))


# --- rows are numbered across batches ---------------------------------------------------------------------------------


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(reading, "BATCH_ROWS", 7)
    return 7


def test_rows_are_numbered_through_batches_and_row_groups(tmp_path: Path, small_batches: int) -> None:
    pq.write_table(trips().take([0, 1, 2] * 20), tmp_path / FILE, row_group_size=11)
    read = list(load.batches(GREEN, local(tmp_path / FILE), MONTH))
    assert len(read) > 60 // small_batches
    assert [row for batch in read for row in batch.column(1).to_pylist()] == list(range(1, 61))
    assert {str(day) for batch in read for day in batch.column(0)} == {"2024-01-01"}


@pytest.mark.parametrize("row", [1, 7, 8, 11, 12, 22, 59, 60])
def test_a_bad_value_is_found_at_its_row_in_the_file(tmp_path: Path, small_batches: int, row: int) -> None:
    ids = [1.0] * 60
    ids[row - 1 :] = [1.5] * (61 - row)
    table = trips().take([0, 1, 2] * 20).set_column(0, "VendorID", pa.array(ids))
    pq.write_table(table, tmp_path / FILE, row_group_size=11)
    with pytest.raises(SchemaDrift, match=f"column 'VendorID': row {row} is 1.5"):
        list(load.batches(GREEN, local(tmp_path / FILE), MONTH))


@pytest.mark.parametrize("row_group_rows", [None, 1])
def test_an_empty_file_has_no_batch(tmp_path: Path, row_group_rows: int | None) -> None:
    with pq.ParquetWriter(tmp_path / FILE, trips().schema) as writer:
        if row_group_rows:
            writer.write_table(trips().slice(0, 0), row_group_rows)
    assert sum(batch.num_rows for batch in load.batches(GREEN, local(tmp_path / FILE), MONTH)) == 0


# --- properties: conforming is lossless or loud -----------------------------------------------------------------------


def first(flags: Iterator[bool]) -> int | None:
    """Return the number, from 1, of the first flag that is true."""
    return next((number for number, flag in enumerate(flags, 1) if flag), None)


def check_lossless_or_loud(column: str, values: pa.Array, bad: int | None) -> pa.Array | None:
    """Conform one column; `bad` is the row that must be refused. Return the result, or None when it was refused."""
    one = dataclasses.replace(GREEN, columns=tuple(c for c in GREEN.columns if c.published == column))
    batch = pa.record_batch({column: values})
    if bad is None:
        (found,) = conform(one, batch, FILE, 1)
        return found
    with pytest.raises(SchemaDrift, match=f"column {column!r}: row {bad} is "):
        conform(one, batch, FILE, 1)
    return None


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**31), 2**31 - 1), min_size=1))
def test_integers_are_kept_or_refused(values: list[int | None]) -> None:
    bad = first(value is not None and not -(2**31) <= value < 2**31 for value in values)
    found = check_lossless_or_loud("passenger_count", pa.array(values, pa.int64()), bad)
    assert found is None or found.to_pylist() == values


@given(st.lists(st.none() | st.floats() | st.integers(-(2**33), 2**33).map(float), min_size=1))
def test_doubles_become_integers_or_are_refused(values: list[float | None]) -> None:
    bad = first(v is not None and not (v.is_integer() and -(2**31) <= v < 2**31) for v in values)
    found = check_lossless_or_loud("passenger_count", pa.array(values, pa.float64()), bad)
    assert found is None or found.to_pylist() == values


@given(st.lists(st.floats() | st.floats(-LIMIT, LIMIT), min_size=1))
def test_doubles_are_kept_to_the_bit_or_refused(values: list[float]) -> None:
    found = check_lossless_or_loud("extra", pa.array(values), first(abs(value) >= LIMIT for value in values))
    assert found is None or struct.pack(f"{len(values)}d", *found.to_pylist()) == struct.pack(
        f"{len(values)}d", *values
    )


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**15), 10**15).map(lambda us: us * 1000), min_size=1)
)
def test_nanoseconds_become_microseconds_or_are_refused(values: list[int]) -> None:
    # Some of Arrow's kernels use this value for NULL.
    values = [value if value != -(2**63) else 0 for value in values]
    bad = first(value % 1000 != 0 for value in values)
    found = check_lossless_or_loud("lpep_pickup_datetime", pa.array(values, pa.timestamp("ns")), bad)
    assert found is None or found.cast(pa.int64()).to_pylist() == [value // 1000 for value in values]


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1))
def test_seconds_are_kept_within_the_calendar_or_refused(values: list[int]) -> None:
    bad = first(not -62_135_596_800 <= value < 253_402_300_800 for value in values)
    found = check_lossless_or_loud("lpep_pickup_datetime", pa.array(values, pa.timestamp("s")), bad)
    assert found is None or found.cast(pa.int64()).to_pylist() == [value * 1_000_000 for value in values]


@given(st.lists(st.none() | st.text(), min_size=1))
def test_text_is_kept_or_refused_for_its_nul(values: list[str | None]) -> None:
    bad = first(value is not None and "\0" in value for value in values)
    found = check_lossless_or_loud("store_and_fwd_flag", pa.array(values, pa.large_string()), bad)
    assert found is None or found.to_pylist() == values


@given(st.lists(st.binary(max_size=6), min_size=1))
def test_bytes_under_a_text_column_are_kept_or_refused(values: list[bytes]) -> None:
    bad = first(b"\0" in value or not is_utf8(value) for value in values)
    # Invalid UTF-8 is looked for first.
    invalid = first(not is_utf8(value) for value in values)
    found = check_lossless_or_loud("store_and_fwd_flag", bytes_as_text(*values), invalid or bad)
    assert found is None or [value.encode() for value in found.to_pylist()] == values


def is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


# --- the declaration --------------------------------------------------------------------------------------------------


def test_raw_trips_has_the_columns_that_the_project_promises() -> None:
    assert [(column.name, column.kind.postgres) for column in GREEN.table_columns] == [
        ("source_month", "date"), ("row_number", "integer"), ("vendor_id", "integer"),
        ("pickup_datetime", "timestamp without time zone"), ("dropoff_datetime", "timestamp without time zone"),
        ("store_and_fwd_flag", "text"), ("rate_code_id", "integer"), ("pickup_location_id", "integer"),
        ("dropoff_location_id", "integer"), ("passenger_count", "integer"), ("trip_distance", "double precision"),
        ("fare_amount", "double precision"), ("extra", "double precision"), ("mta_tax", "double precision"),
        ("tip_amount", "double precision"), ("tolls_amount", "double precision"), ("ehail_fee", "double precision"),
        ("improvement_surcharge", "double precision"), ("total_amount", "double precision"),
        ("payment_type", "integer"),
        ("trip_type", "integer"), ("congestion_surcharge", "double precision"),
        ("cbd_congestion_fee", "double precision"),
    ]  # fmt: skip


def test_a_changed_declaration_differs_from_the_old_one() -> None:
    vendor, *rest = GREEN.columns
    changes = [
        dataclasses.replace(GREEN, columns=tuple(rest)),
        dataclasses.replace(GREEN, columns=(dataclasses.replace(vendor, nullable=False), *rest)),
        dataclasses.replace(GREEN, columns=(dataclasses.replace(vendor, published="vendor"), *rest)),
        dataclasses.replace(GREEN, columns=(dataclasses.replace(vendor, kind=TEXT), *rest)),
        dataclasses.replace(GREEN, columns=(*rest, vendor)),
        ZONES,
    ]
    assert len({dataset.declaration for dataset in [GREEN, *changes]}) == 1 + len(changes)
    assert GREEN.declaration == dataclasses.replace(GREEN).declaration


def test_the_declarations_of_loaded_months_do_not_change() -> None:
    """The identifiers are stored in ledgers: a different one makes every month load again."""
    assert {dataset.name: dataset.declaration for dataset in DATASETS.values()} == {
        "green": "40ccfbaf8c414620", "yellow": "6687d64230019137", "zones": "0a5ad589f10f4069",
    }  # fmt: skip


def test_another_spelling_is_another_declaration() -> None:
    *rest, fee, cbd = YELLOW.columns
    changed = dataclasses.replace(YELLOW, columns=(*rest, dataclasses.replace(fee, also=()), cbd))
    assert changed.declaration != YELLOW.declaration


# --- the yellow ones --------------------------------------------------------------------------------------------------

YELLOW_FILE = "yellow_tripdata_2024-01.parquet"
YELLOW_ERAS = [Month(2020, 12), Month(2021, 1), Month(2023, 1), Month(2023, 2), Month(2024, 12), Month(2025, 1)]


def yellow(month: Month) -> pa.Table:
    """Return a yellow month as the declared schema has it."""
    published = sample.table(month, rows=sample.FEWEST_ROWS, cab="yellow").combine_chunks()
    check_columns(YELLOW, published.schema, YELLOW_FILE)
    (batch,) = published.to_batches()
    names = [column.name for column in YELLOW.columns]
    return pa.table(dict(zip(names, conform(YELLOW, batch, YELLOW_FILE, 1), strict=True)))


@pytest.mark.parametrize("month", YELLOW_ERAS, ids=str)
def test_every_era_of_the_yellow_files_conforms(month: Month) -> None:
    table, published = yellow(month), sample.table(month, rows=sample.FEWEST_ROWS, cab="yellow")
    assert table.schema.types == [column.kind.arrow for column in YELLOW.columns]
    fee = "airport_fee" if month < Month(2023, 2) else "Airport_fee"
    assert fee in published.column_names
    assert table["airport_fee"].to_pylist() == published[fee].to_pylist()
    assert (table["airport_fee"].null_count == len(table)) == (month < Month(2021, 1))
    assert (table["cbd_congestion_fee"].null_count == len(table)) == (month < Month(2025, 1))


def test_a_file_with_both_spellings_of_one_column_is_refused() -> None:
    table = sample.table(Month(2023, 1), rows=sample.FEWEST_ROWS, cab="yellow")
    both = table.append_column("Airport_fee", table["airport_fee"])
    with pytest.raises(SchemaDrift) as caught:
        check_columns(YELLOW, both.schema, YELLOW_FILE)
    assert str(caught.value).startswith(
        f"{YELLOW_FILE}: columns 'airport_fee' and 'Airport_fee' are the same one under two"
    )


def test_a_message_names_the_column_as_the_file_spells_it() -> None:
    table = sample.table(Month(2023, 2), rows=sample.FEWEST_ROWS, cab="yellow")
    place = table.column_names.index("Airport_fee")
    text = table.set_column(place, "Airport_fee", pa.array(["?"] * len(table)))
    with pytest.raises(SchemaDrift, match=r"column 'Airport_fee': row 1 is '\?'"):
        conform(YELLOW, text.combine_chunks().to_batches()[0], YELLOW_FILE, 1)
    zoned = table.set_column(place, "Airport_fee", pa.array([0] * len(table), pa.timestamp("us", "UTC")))
    with pytest.raises(SchemaDrift, match="column 'Airport_fee' is timestamp"):
        check_columns(YELLOW, zoned.schema, YELLOW_FILE)


def test_green_and_yellow_columns_are_not_mixed_up() -> None:
    with pytest.raises(SchemaDrift, match=r"'tpep_pickup_datetime', .* are not among those that green declares"):
        check_columns(GREEN, sample.table(MONTH, rows=200, cab="yellow").schema, FILE)
    with pytest.raises(SchemaDrift, match=r"'lpep_pickup_datetime', .* are not among those that yellow declares"):
        check_columns(YELLOW, sample.table(MONTH, rows=200).schema, FILE)


@pytest.mark.parametrize("one", DATASETS.values(), ids=lambda one: one.name)
def test_a_dataset_is_named_with_a_month_or_without(one: Dataset) -> None:
    assert dataset(one.name, monthly=one.monthly) is one
    with pytest.raises(UsageError, match=r"name one|name no month"):
        dataset(one.name, monthly=not one.monthly)


def test_an_unknown_dataset_is_refused() -> None:
    with pytest.raises(UsageError, match="'fhv' is not a dataset: choose one of green, yellow, zones"):
        dataset("fhv", monthly=True)


def test_every_column_of_every_dataset_has_a_name_of_its_own() -> None:
    for one in DATASETS.values():
        names = [column.name for column in one.table_columns]
        spellings = [spelling for column in one.columns for spelling in column.spellings]
        assert len(set(names)) == len(names) and len(set(spellings)) == len(spellings)


NO_PANDAS = """
import sys
from pathlib import Path
from core import load
from core.extract import Extracted
from core.month import Month
from core.datasets import GREEN, ZONES
for dataset, month, path in ((GREEN, Month(2024, 1), Path(sys.argv[1])), (ZONES, None, Path(sys.argv[2]))):
    print(sum(batch.num_rows for batch in load.batches(dataset, Extracted(path, path.name, "", 1), month)))
print("pandas" in sys.modules)
"""


def test_pandas_is_not_imported_even_where_it_is_installed(tmp_path: Path) -> None:
    month, zones = tmp_path / FILE, tmp_path / sample.ZONES
    rows = sample.write_month(month, MONTH, rows=500)
    sample.write_zones(zones)
    words = [sys.executable, "-c", NO_PANDAS, str(month), str(zones)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(rows), "265", "False"]


HOSTILE = [
    "\x1b[31m\x1b]0;owned\x07", "a\nb\r\n", "\u202egpj", 'x"; DROP TABLE y; --', "{{ 7*7 }}%s{0}", "[/red]", "\0",
    " VendorID", "vendorid",
    "x" * 100_000, "\x1b" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("times", [1, 2])
def test_a_columns_name_is_shown_short_and_does_nothing(name: str, times: int) -> None:
    table = trips()
    for _ in range(times):
        table = table.append_column(name, table.column(0))
    message = refusal(table)
    assert repr(name)[:20] in message and len(message) < 300


def test_a_type_is_shown_short() -> None:
    kind = pa.struct([("\x1b[31m" * 9, pa.int8())] * 999)
    assert len(refusal(trips(extra=pa.array([None] * 3, kind)))) < 250
