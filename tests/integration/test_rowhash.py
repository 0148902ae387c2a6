"""The digest of a file's batches equals the server's digest of their table in every bit, or is left to the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pgpq
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from core import digest, load
from core.database import Connection, connect
from core.datasets import DATASETS, DATE, DOUBLE, GREEN, INTEGER, TEXT, TIMESTAMP, Column, Dataset
from core.digest import Digest
from core.extract import Extracted, sample
from core.load import copy, rowhash, tables
from core.load.rowhash import RowHash
from tests.integration.loading import MONTH, SCHEMA, attempt, attempt_zones, write

LONGEST = 254
"""The bytes of the longest text whose length is part of a row's shape."""

# Doubles by their bits: negative zeros, infinities, denormals, and NaNs of every payload.
bits = st.integers(0, 2**64 - 1) | st.sampled_from(
    [0, 1 << 63, 0x7FF8 << 48, 0x7FF0 << 48, 0xFFF0 << 48, 0x7FF0 << 48 | 7]
)
values: dict[pa.DataType, st.SearchStrategy[int | str]] = {
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.float64(): bits,
    # The years 1 to 9999.
    pa.date32(): st.integers(-719_162, 2_932_896),
    pa.timestamp("us"): st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    pa.string(): st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
    | st.integers(0, 300).map("é".__mul__),
}


@st.composite
def rows(draw: st.DrawFn, dataset: Dataset) -> list[pa.Array]:
    """Draw the columns of some rows, of few or many shapes, at any offset in their arrays."""
    count, before = draw(st.integers(0, 5)), draw(st.integers(0, 2))
    return [_array(draw, column, before, count) for column in dataset.table_columns]


def _array(draw: st.DrawFn, column: Column, before: int, count: int) -> pa.Array:
    kind = column.kind.arrow
    maybe: Any = values[kind] | st.none() if column.nullable else values[kind]
    drawn = draw(st.lists(maybe, min_size=before + count, max_size=before + count))
    if kind == pa.string():
        return pa.array(drawn, kind)[before:]
    width = kind.bit_width
    numbers = np.array([value or 0 for value in drawn], f"u{width // 8}" if kind == pa.float64() else f"i{width // 8}")
    there = np.packbits(np.array([value is not None for value in drawn], bool), bitorder="little")
    buffers = [pa.py_buffer(there), pa.py_buffer(numbers)]
    return pa.Array.from_buffers(kind, count, buffers, offset=before)


@pytest.fixture
def connection(warehouse: str) -> Iterator[Connection]:
    with connect("test") as opened:
        yield opened


def held(connection: Connection, dataset: Dataset, batches: list[pa.RecordBatch]) -> Digest:
    """Return the server's digest of a table of the batches."""
    encoder = pgpq.ArrowToPostgresBinaryEncoder(dataset.arrow)
    table = sql.Identifier("pg_temp", dataset.table)
    connection.execute(sql.SQL("CREATE TABLE {} ({})").format(table, tables.columns(dataset)))
    with connection.cursor().copy(sql.SQL("COPY {} FROM STDIN (FORMAT binary)").format(table)) as copy:
        copy.write(encoder.write_header())
        for batch in batches:
            copy.write(encoder.write_batch(batch))
        copy.write(encoder.finish())
    found = digest.table(connection, "pg_temp", dataset.table)
    connection.rollback()
    return found


def computed(dataset: Dataset, batches: list[pa.RecordBatch]) -> Digest | None:
    hashing = RowHash(dataset)
    for batch in batches:
        hashing.add(batch)
    return hashing.digest()


EVERY = Dataset(
    name="every",
    table="every",
    paths=(),
    monthly=True,
    columns=tuple(
        Column(name, name, kind)
        for name, kind in zip("tidsnxm", (TEXT, INTEGER, DATE, TIMESTAMP, DOUBLE, TEXT, DOUBLE), strict=True)
    ),
)
"""All kinds of columns, each one nullable, with a text before and between the numbers."""


@pytest.mark.parametrize("dataset", [*DATASETS.values(), EVERY], ids=lambda dataset: dataset.name)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_digest_equals_the_servers_in_every_bit(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, dataset: Dataset, data: st.DataObject
) -> None:
    monkeypatch.setattr(rowhash, "LOT", 2)
    monkeypatch.setattr(rowhash, "MOST_SHAPES", 100)
    drawn = data.draw(st.lists(rows(dataset), max_size=2))
    batches = [pa.RecordBatch.from_arrays(columns, schema=dataset.arrow) for columns in drawn]
    texts = [column for batch in batches for column in batch.columns if column.type == pa.string()]
    longest = max((len((text.as_py() or "").encode()) for column in texts for text in column), default=0)
    assert computed(dataset, batches) == (held(connection, dataset, batches) if longest <= LONGEST else None)


def test_rows_of_a_rare_shape_wait_and_none_is_lost(connection: Connection) -> None:
    """There are more rows than are hashed together, in batches that end anywhere."""
    table = pa.table({"a": pa.arange(0, 20_000), "b": pa.array(["x", "yy", None, "x"] * 5_000)})
    dataset = Dataset("two", "two", (Column("a", "a", INTEGER), Column("b", "b", TEXT)), (), monthly=False)
    rows = table.cast(dataset.arrow).to_batches(max_chunksize=1_234)
    assert computed(dataset, rows) == held(connection, dataset, rows)


def test_a_table_of_too_many_texts_is_left_to_the_server() -> None:
    """Eight lengths do not fit into the number of a shape."""
    dataset = Dataset("texts", "texts", tuple(Column(name, name, TEXT) for name in "abcdefgh"), (), monthly=False)
    assert computed(dataset, [pa.RecordBatch.from_pylist([dict.fromkeys("abcdefgh", "x")], dataset.arrow)]) is None


@pytest.mark.parametrize("cab", ["green", "yellow"])
def test_a_month_as_the_publisher_writes_it_has_few_shapes(
    tmp_path: Path, connection: Connection, cab: sample.Cab
) -> None:
    dataset, path = DATASETS[cab], tmp_path / sample.file_name(MONTH, cab)
    sample.write_month(path, MONTH, rows=3_000, cab=cab)
    batches = list(load.batches(dataset, Extracted(path, path.name, "0" * 64, 1), MONTH))
    assert computed(dataset, batches) == held(connection, dataset, batches)


def test_the_server_is_not_asked_for_a_known_digest(
    tmp_path: Path, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.setattr(digest, "table", None)
    assert attempt(tmp_path).state == "success"


def test_rows_of_too_many_shapes_are_left_to_the_server(tmp_path: Path, warehouse: str) -> None:
    """For a month with scattered NULLs, and for the zones' names, the ledger has the digests of the tables."""
    sample.ensure(tmp_path, [MONTH], rows=500)
    path = tmp_path / sample.file_name(MONTH)
    published = pq.read_table(path)
    for place, name in enumerate(("RatecodeID", "passenger_count", "extra", "tip_amount", "trip_type", "mta_tax")):
        strewn = [None if row >> place & 1 else value for row, value in enumerate(published[name].to_pylist())]
        published = published.set_column(
            published.column_names.index(name), name, pa.array(strewn, published[name].type)
        )
    pq.write_table(published, path)
    entries = [attempt(tmp_path).entry, attempt_zones(tmp_path).entry]
    with connect("test") as connection:
        found = [digest.table(connection, SCHEMA, name).hex for name in (GREEN.table, DATASETS["zones"].table)]
    assert [entry.content_digest for entry in entries] == found


def test_a_fault_of_the_encoder_shows_in_the_digests(
    tmp_path: Path, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger has the digest of the file's rows, whatever was sent."""
    write(tmp_path)
    encoded = copy.encoded

    def faulty(order: load.Load) -> Iterator[tuple[memoryview, pa.RecordBatch | None]]:
        pieces, batches = zip(*encoded(order), strict=True)
        sent = bytearray(b"".join(pieces))
        # In the first row's vendor, after a header of 19 bytes, the month and the row's number.
        sent[44] ^= 4
        yield memoryview(sent), None
        yield from ((memoryview(b""), batch) for batch in batches)

    monkeypatch.setattr(copy, "encoded", faulty)
    entry = attempt(tmp_path).entry
    with connect("test") as connection:
        held = digest.table(connection, SCHEMA, GREEN.table)
    assert held.rows == entry.row_count and held.hex != entry.content_digest
