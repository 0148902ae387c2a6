"""Parquet files in every encoding, and ways to damage them."""

from __future__ import annotations

import datetime as dt
import functools
import io
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from core.extract import sample
from core.month import Month
from tests.fuzz import thrift

MONTH = Month(2025, 1)
NAME = sample.file_name(MONTH)
ROWS = 300

Rng = random.Random


class Case(NamedTuple):
    """A file to load. If the load succeeds, its rows must be those that an independent reader reads from `like`."""

    kind: str
    name: str
    content: bytes
    like: bytes | None = None


# ---------------------------------------------------------------- good files

_DOUBLES = ("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "total_amount")

ENCODINGS: dict[str, dict[str, Any]] = {
    "publisher": {"compression": "zstd"},
    "plain": {"compression": "none", "use_dictionary": False},
    "snappy": {"compression": "snappy", "row_group_size": 97},
    "gzip, version 1": {"compression": "gzip", "version": "1.0", "store_schema": False},
    "lz4": {"compression": "lz4", "data_page_version": "2.0"},
    "brotli": {"compression": "brotli", "data_page_size": 200},
    "pages of version 2": {"compression": "snappy", "data_page_version": "2.0", "data_page_size": 200},
    "small dictionaries": {"compression": "none", "dictionary_pagesize_limit": 64},
    "checksums": {"compression": "zstd", "write_page_checksum": True},
    "page index": {"compression": "zstd", "write_page_index": True, "row_group_size": 50},
    "split": {
        "compression": "zstd", "use_dictionary": False,
        "column_encoding": dict.fromkeys(_DOUBLES, "BYTE_STREAM_SPLIT"),
    },
    "deltas": {
        "compression": "none", "use_dictionary": False,
        "column_encoding": {"VendorID": "DELTA_BINARY_PACKED", "store_and_fwd_flag": "DELTA_LENGTH_BYTE_ARRAY"},
    },
    "no statistics": {"compression": "none", "write_statistics": False},
}  # fmt: skip


@functools.cache
def table(rows: int = ROWS) -> pa.Table:
    """Return a month without metadata whose columns have NULLs where the publisher's have them."""
    return sample.table(MONTH, rows=rows).replace_schema_metadata(None)


def written(content: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(content, out, **options)
    return out.getvalue()


@functools.cache
def good() -> dict[str, bytes]:
    """Return the same month in every encoding."""
    return {name: written(table(), **options) for name, options in ENCODINGS.items()}


REAL: list[bytes] = []
"""Files of the publisher, if a caller has some."""


def base(rng: Rng) -> bytes:
    if REAL and rng.random() < 0.2:
        return rng.choice(REAL)
    return rng.choice(list(good().values()))


# ---------------------------------------------------------------- bytes


def footer_of(content: bytes) -> tuple[int, bytes]:
    """Return where the footer begins, and its bytes."""
    length = int.from_bytes(content[-8:-4], "little")
    return len(content) - 8 - length, content[-8 - length : -8]


def with_footer(content: bytes, footer: bytes) -> bytes:
    """Return the same pages with another footer."""
    return content[: footer_of(content)[0]] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def page_headers(content: bytes) -> list[int]:
    """Return where the columns' first pages begin."""
    metadata = pq.read_metadata(io.BytesIO(content))
    chunks = [
        metadata.row_group(g).column(c) for g in range(metadata.num_row_groups) for c in range(metadata.num_columns)
    ]
    return [chunk.dictionary_page_offset or chunk.data_page_offset for chunk in chunks]


def _flip(content: bytes, rng: Rng, low: int, high: int) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        changed[rng.randrange(low, high)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_footer(rng: Rng) -> bytes:
    content = base(rng)
    return _flip(content, rng, footer_of(content)[0], len(content) - 4)


def flip_page_header(rng: Rng) -> bytes:
    content = base(rng)
    place = rng.choice(page_headers(content))
    return _flip(content, rng, place, place + 24)


def flip_data(rng: Rng) -> bytes:
    content = base(rng)
    return _flip(content, rng, 4, footer_of(content)[0])


_LOUD = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff\x07",
    b"\xfe\xff\xff\xff\x0f",
    b"\xff" * 9 + b"\x01",
    b"\xf9\xff\xff\x03",
)


def overwrite(rng: Rng) -> bytes:
    content = base(rng)
    low = rng.choice((4, footer_of(content)[0], rng.choice(page_headers(content))))
    place = rng.randrange(low, min(len(content) - 8, low + 4000))
    loud = rng.choice(_LOUD)
    return content[:place] + loud + content[place + len(loud) :]


def cut(rng: Rng) -> bytes:
    content = base(rng)
    return content[: rng.randrange(len(content))] + rng.choice((b"", b"PAR1", content[-8:]))


def remove(rng: Rng) -> bytes:
    content = base(rng)
    start = rng.randrange(4, len(content) - 8)
    return content[:start] + content[start + rng.choice((1, 2, 7, 100, 3000)) :][-len(content) :] + content[-8:]


def repeat(rng: Rng) -> bytes:
    content = base(rng)
    start, length = rng.randrange(4, len(content) - 8), rng.choice((1, 3, 50, 1000, 20000))
    return content[:start] + content[start : start + length] * rng.choice((2, 5, 40)) + content[start + length :]


def blank(rng: Rng) -> bytes:
    content = base(rng)
    start, length = rng.randrange(4, len(content) - 8), rng.choice((4, 50, 1000))
    return content[:start] + rng.choice((b"\0", b"\xff")) * length + content[start + length :]


def splice(rng: Rng) -> bytes:
    one, other = base(rng), base(rng)
    if rng.random() < 0.5:
        return with_footer(one, footer_of(other)[1])
    return one[: rng.randrange(len(one))] + other[rng.randrange(len(other)) :]


def noise(rng: Rng) -> bytes:
    length = rng.choice((0, 1, 40, 500, 20000))
    return (
        b"PAR1" + rng.randbytes(rng.choice((0, 100))) + rng.randbytes(length) + length.to_bytes(4, "little") + b"PAR1"
    )


_NUMBERS = (
    -1,
    0,
    1,
    2,
    7,
    127,
    1 << 15,
    1 << 20,
    900_000,
    (1 << 31) - 1,
    -(1 << 31),
    1 << 32,
    (1 << 62),
    (1 << 63) - 1,
    -(1 << 63),
)


def declare(rng: Rng) -> bytes:
    """Change numbers in an otherwise valid footer: sizes, offsets, counts, types, the lengths of lists and texts."""
    content = base(rng)
    footer = footer_of(content)[1]
    there = thrift.spots(footer)
    for spot in sorted(rng.sample(there, rng.choice((1, 1, 1, 2, 3))), key=lambda spot: -spot.start):
        number = rng.choice(_NUMBERS)
        if spot.what == "number":
            new = thrift.integer(number)
        elif spot.what == "length":
            new = thrift.varint(abs(number))
        else:
            new = thrift.list_head(abs(number), rng.choice((spot.of, rng.randrange(13))))
        footer = footer[: spot.start] + new + footer[spot.end :]
    return with_footer(content, footer)


def declare_page(rng: Rng) -> bytes:
    """Change numbers in a page's header to others of the same size, so that what follows stays in its place."""
    content = bytearray(base(rng))
    place = rng.choice(page_headers(bytes(content)))
    for _ in range(rng.choice((1, 1, 2))):
        spot = rng.choice(thrift.spots(bytes(content[place : place + 4096]) + bytes(16)))
        width = spot.end - spot.start
        new = bytes([128 | rng.randrange(128) for _ in range(width - 1)]) + bytes([rng.choice((0, 1, 63, 126, 127))])
        content[place + spot.start : place + spot.end] = new
        if spot.what != "number":
            # What follows can no longer be read as a header.
            break
    return bytes(content)


# ---------------------------------------------------------------- types

_MOMENT = dt.datetime(2025, 1, 2, 3, 4, 5)
_TEXTS: tuple[Any, ...] = (
    ("1", "2", None), ("1.0", "2"), (" 1", "1 "), ("x",), ("",), ("\0",), ("1e5",), ("inf",), ("9" * 400,),
    ("0" * 250 + "1",),
    ("2025-01-02 03:04:05",), ("2025-01-02T03:04:05.123456",), ("2025-13-02 03:04:05",), ("0000-01-01 00:00:00",),
    ("Y", "N", None), ("N" * 60_000,), ("é", "\u202e", "\x1b[2J"),
)  # fmt: skip


def _types() -> list[tuple[pa.DataType, tuple[Any, ...]]]:
    """Return types, each with values that are repeated down the column."""
    numbers = [
        (kind, values)
        for kind in (
            pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.int64(), pa.uint64(),
            pa.float16(), pa.float32(), pa.float64(),
        )
        for values in ((1, 2, 3), (1, None), (0,), (100,))
    ]  # fmt: skip
    wide = [
        (pa.int64(), (1 << 40,)), (pa.int64(), (-(1 << 63), (1 << 63) - 1)), (pa.uint64(), ((1 << 64) - 1,)),
        (pa.int32(), (-(1 << 31),)),
        (pa.float64(), (1.5,)), (pa.float64(), (float("nan"),)), (pa.float64(), (float("inf"), 1.0)),
        (pa.float64(), (-0.0, 5e-324)),
        (pa.float64(), (1e300,)), (pa.float32(), (0.1,)), (pa.float64(), (99999999.99, 1e8)),
    ]  # fmt: skip
    texts = [(kind, values) for kind in (pa.string(), pa.large_string(), pa.string_view()) for values in _TEXTS]
    coded = [(pa.dictionary(index, pa.string()), values) for index in (pa.int8(), pa.int32()) for values in _TEXTS[:11]]
    moments = [
        (pa.timestamp(unit, zone), (_MOMENT, dt.datetime(1, 1, 1) if unit in "s ms us" and unit != "ns" else _MOMENT))
        for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "America/New_York", "+05:30")
    ] + [
        (pa.timestamp("ns"), (1_700_000_000_123_456_789,)), (pa.timestamp("us"), (1 << 62,)),
        (pa.timestamp("us"), (-(1 << 62),)),
        (pa.timestamp("ms"), (1 << 60,)), (pa.date32(), (20_000,)), (pa.date64(), (20_000 * 86_400_000,)),
        (pa.time64("us"), (5,)), (pa.duration("s"), (5,)),
    ]  # fmt: skip
    other: list[tuple[pa.DataType, tuple[Any, ...]]] = [
        (pa.null(), (None,)), (pa.bool_(), (True, False)), (pa.binary(), (b"1", b"\xff\xfe")),
        (pa.large_binary(), (b"x",)), (pa.binary(4), (b"abcd",)),
        (pa.binary_view(), (b"x",)), (pa.decimal128(10, 2), (Decimal("1.00"), Decimal("2.50"))),
        (pa.decimal256(50, 0), (Decimal(1),)),
        (pa.list_(pa.int64()), ([1], [], None)), (pa.large_list(pa.string()), (["a"],)),
        (pa.list_(pa.int32(), 2), ([1, 2],)),
        (pa.struct([("\x1b[2J\n", pa.int32())]), ({"\x1b[2J\n": 1},)),
        (pa.struct([("a" * 5000, pa.int32())]), ({"a" * 5000: 1},)),
        (pa.map_(pa.string(), pa.int32()), ([("a", 1)],)),
        (pa.list_(pa.struct([("x", pa.list_(pa.int32()))])), ([{"x": [1]}],)),
    ]  # fmt: skip
    return [*numbers, *wide, *texts, *coded, *moments, *other]


def column(rng: Rng, rows: int) -> pa.Array:
    kind, values = rng.choice(_types())
    repeated = (list(values) * (rows // len(values) + 1))[:rows]
    if pa.types.is_dictionary(kind):
        return pa.array(repeated, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(repeated, kind)


def retype(rng: Rng) -> bytes:
    """Give columns other types, with values that fit the declared types or do not."""
    content = table()
    for name in rng.sample(content.column_names, rng.choice((1, 1, 1, 2, 5))):
        content = content.set_column(content.column_names.index(name), name, column(rng, len(content)))
    options = dict(ENCODINGS[rng.choice(list(ENCODINGS))])
    options.pop("column_encoding", None)
    try:
        return written(content, **options)
    except pa.ArrowInvalid:
        # Version 1 has no nanoseconds.
        return written(content, compression="zstd")


def re_encode(rng: Rng) -> bytes:
    """Write the same rows in another way."""
    options = {
        "compression": rng.choice(("none", "snappy", "zstd", "gzip", "lz4", "brotli")),
        "use_dictionary": rng.choice((True, False, ["store_and_fwd_flag"])),
        "data_page_version": rng.choice(("1.0", "2.0")),
        "row_group_size": rng.choice((1, 17, 299, 100_000)),
        "data_page_size": rng.choice((1, 100, 5000, 1 << 20)),
        "dictionary_pagesize_limit": rng.choice((1, 100, 1 << 20)),
        "write_page_index": rng.choice((True, False)),
        "store_schema": rng.choice((True, False)),
        "write_batch_size": rng.choice((1, 7, 1024)),
    }
    names = list(table().column_names)
    rng.shuffle(names)
    return written(table().select(names), **options)


# ---------------------------------------------------------------- names and metadata

NAMES = (
    "", " ", "VendorID ", "vendorid", "VendorID\0", "VendorID\n", "\x1b[31mred\x1b[0m", 'x"; DROP TABLE raw_trips; --',
    "'", "../../etc/passwd",
    "Vend\u043erID", "\u202eDIrodneV", "a" * 1_000_000, "source_month", "row_number", "%s", "{0}", "\ufeffVendorID",
    "é" * 3000, "VendorID.x", "\u200bVendorID",
)  # fmt: skip


def rename(rng: Rng) -> bytes:
    """Rename, add, double or drop a column, or drop all of them."""
    content = table()
    names = list(content.column_names)
    place = rng.randrange(len(names))
    how = rng.choice(("rename", "rename", "add", "double", "drop", "none"))
    if how == "rename":
        names[place] = rng.choice(NAMES)
        content = content.rename_columns(names)
    elif how == "add":
        content = content.append_column(rng.choice(NAMES), pa.array([1] * len(content)))
    elif how == "double":
        content = content.append_column(names[place], content.column(place))
    elif how == "drop":
        content = content.remove_column(place)
    else:
        content = content.select([])
    return written(content, compression="snappy")


def annotate(rng: Rng) -> bytes:
    """Add metadata that some readers believe: Arrow's schema, pandas' index."""
    key = rng.choice((b"ARROW:schema", b"pandas", b"\xff\xfe", b"", b"org.apache.spark.sql.parquet.row.metadata"))
    value: bytes = rng.choice((
        b"", b"\0", b"not base64!", b"/////w==", b"A" * 1000, b"\xff" * 100, b"{",
        b'{"index_columns": ["VendorID"], "columns": []}',
        b'{"index_columns": [{"kind": "range", "start": 0, "stop": 99999999999, "step": 1}], "columns": [], '
        b'"column_indexes": []}',
        b"[" * 100_000, b"x" * 900_000,
        b"x" * 3_000_000,
    ))  # fmt: skip
    store = key != b"ARROW:schema"
    if not store and rng.random() < 0.5:
        # A real schema, damaged.
        schema = pa.schema([(n, rng.choice(_types())[0]) for n in table().column_names])
        out = bytearray(schema.serialize().to_pybytes())
        for _ in range(rng.choice((0, 1, 3))):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
        import base64

        value = base64.b64encode(bytes(out))
    return written(table().replace_schema_metadata({key: value}), compression="snappy", store_schema=store)


# ---------------------------------------------------------------- bombs


class Page(NamedTuple):
    """A page as its header declares it. `packed` and `size` are those of the content if they are None."""

    content: bytes
    values: int
    kind: int = 0
    encoding: int = 0
    size: int | None = None
    packed: int | None = None

    @property
    def bytes(self) -> bytes:
        about = {0: 5, 2: 7, 3: 8}.get(self.kind, 5)
        fields: list[thrift.Field] = [(1, thrift.I32, self.values), (2, thrift.I32, self.encoding)]
        if self.kind == 0:
            fields += [(3, thrift.I32, 3), (4, thrift.I32, 3)]
        size = len(self.content) if self.size is None else self.size
        packed = len(self.content) if self.packed is None else self.packed
        head: list[thrift.Field] = [
            (1, thrift.I32, self.kind),
            (2, thrift.I32, size),
            (3, thrift.I32, packed),
            (about, thrift.STRUCT, fields),
        ]
        return thrift.struct(*head) + self.content


_PHYSICAL = {pa.int32(): 1, pa.int64(): 2, pa.timestamp("us"): 2, pa.float64(): 5, pa.string(): 6, pa.large_string(): 6}
_CODECS = {"none": 0, "snappy": 1, "gzip": 2, "zstd": 6}


_LOCAL_MICROSECONDS: list[thrift.Field] = [
    (10, thrift.STRUCT, [(8, thrift.STRUCT, [(1, 2, b""), (2, thrift.STRUCT, [(2, thrift.STRUCT, [])])])])
]
"""A logical type: a timestamp, not adjusted to UTC, in microseconds."""


def packed(content: bytes, codec: str) -> bytes:
    return content if codec == "none" else pa.compress(content, codec, asbytes=True)


def crafted(
    pages: Callable[[str, int], list[Page]], rows: int, codec: str = "none", groups: int = 1, required: bool = True
) -> bytes:
    """Return a file of the declared columns with pages of the caller's, which are the same in every row group."""
    schema = table().schema
    root: list[thrift.Field] = [(4, thrift.BINARY, b"schema"), (5, thrift.I32, len(schema))]
    leaves, chunks, body = [], [], b"PAR1"
    for field in schema:
        physical = _PHYSICAL[field.type]
        logical = (
            [(6, thrift.I32, 0)] if physical == 6 else _LOCAL_MICROSECONDS if pa.types.is_timestamp(field.type) else []
        )
        name: thrift.Field = (4, thrift.BINARY, field.name.encode())
        leaves.append([(1, thrift.I32, physical), (3, thrift.I32, 0 if required else 1), name, *logical])
        made, start = pages(field.name, physical), len(body)
        dictionary = made[0].kind == 2
        first = start + len(made[0].bytes) if dictionary else start
        body += b"".join(page.bytes for page in made)
        values = sum(page.values for page in made if page.kind != 2)
        about: list[thrift.Field] = [
            (1, thrift.I32, physical),
            (2, thrift.LIST, (thrift.I32, [0, 3, 8])),
            (3, thrift.LIST, (thrift.BINARY, [field.name.encode()])),
            (4, thrift.I32, _CODECS[codec]),
            (5, thrift.I64, values),
            (6, thrift.I64, len(body) - start),
            (7, thrift.I64, len(body) - start),
            (9, thrift.I64, first),
        ]
        if dictionary:
            about.append((11, thrift.I64, start))
        chunks.append([(2, thrift.I64, start), (3, thrift.STRUCT, about)])
    group: list[thrift.Field] = [
        (1, thrift.LIST, (thrift.STRUCT, chunks)),
        (2, thrift.I64, len(body)),
        (3, thrift.I64, rows),
    ]
    footer = thrift.struct(
        (1, thrift.I32, 2), (2, thrift.LIST, (thrift.STRUCT, [root, *leaves])), (3, thrift.I64, rows * groups),
        (4, thrift.LIST, (thrift.STRUCT, [group] * groups)), (6, thrift.BINARY, b"nobody"),
    )  # fmt: skip
    return body + footer + len(footer).to_bytes(4, "little") + b"PAR1"


WIDTH = {1: 4, 2: 8, 5: 8, 6: 5}
"""Bytes of a plain value, by physical type; a text has one letter."""


def plain(physical: int, values: int) -> bytes:
    one = b"\1\0\0\0Y" if physical == 6 else bytes(WIDTH[physical])
    return one * values


def indices(values: int, bits: int = 1) -> bytes:
    """Return dictionary indices, all of them 0, in a few bytes however many they are."""
    return bytes([bits]) + thrift.varint(values << 1) + bytes((bits + 7) // 8)


def repeated(rows: int, text: bytes = b"Y") -> Callable[[str, int], list[Page]]:
    """Return pages of one value, to which every row refers."""

    def pages(_: str, physical: int) -> list[Page]:
        value = len(text).to_bytes(4, "little") + text if physical == 6 else plain(physical, 1)
        return [Page(value, 1, kind=2), Page(indices(rows), rows, encoding=8)]

    return pages


def bomb(rng: Rng) -> bytes:
    """Declare sizes that are not there, or that a few bytes unpack to."""
    how = rng.randrange(8)
    size = rng.choice((100, 20_000, 900_000, 1 << 24, (1 << 31) - 1))
    # One long text for every row.
    if how == 0:
        return crafted(
            repeated(rng.choice((1, 300, 20_000)), b"N" * rng.choice((1, 256, 257, 60_000, 1_000_000))),
            rng.choice((1, 300, 20_000)),
        )
    # Many rows.
    if how == 1:
        rows = rng.choice((1, 1000, 100_000, 2_000_000))
        return crafted(repeated(rows), rows, groups=rng.choice((1, 2)))
    # Rows that are only declared.
    if how == 2:
        return crafted(repeated(100), size, groups=rng.choice((1, 50)))
    # Pages whose header lies.
    if how == 3:
        return crafted(
            lambda _, kind: [
                Page(plain(kind, 10), size, size=rng.choice((None, size)), packed=rng.choice((None, None, size)))
            ],
            10,
        )
    # Pages that unpack to a lot.
    if how == 4:
        # The last: 252 MB of pages, just below the limit.
        values = rng.choice((100, 100_000, 1_500_000))
        codec = rng.choice(("zstd", "gzip", "snappy"))
        return crafted(
            lambda _, kind: [Page(packed(plain(kind, values), codec), values, size=values * WIDTH[kind])], values, codec
        )
    # Dictionaries that declare a lot.
    if how == 5:
        return crafted(lambda _, kind: [Page(plain(kind, 3), size, kind=2), Page(indices(300), 300, encoding=8)], 300)
    # Indices beyond the dictionary, of odd widths.
    if how == 6:
        bits = rng.choice((0, 1, 8, 31, 32, 33, 255))
        run = bytes([bits]) + thrift.varint(300 << 1) + rng.randbytes(4)
        return crafted(lambda _, kind: [Page(plain(kind, 2), 2, kind=2), Page(run, 300, encoding=8)], 300)
    encoding = rng.randrange(12)
    return crafted(
        lambda _, kind: [
            Page(rng.randbytes(rng.choice((0, 10, 500))), 300, kind=rng.choice((0, 0, 1, 3)), encoding=encoding)
        ],
        300,
    )


def head_bomb(rng: Rng) -> bytes:
    """Return a footer that declares a long list."""
    count = rng.choice((20, 9_999, 10_001, 900_000, (1 << 31) - 1, 1 << 40))
    of = rng.choice((0, 1, 5, 8, 9, 11, 12))
    body = b"\x15\x02" + rng.choice((b"\x19", b"\x39", b"\x59", b"\x99", b"\xe9")) + thrift.list_head(count, of)
    footer = body + rng.choice((b"\0", b"\x26\x08\0", b"\x19\xfc\xff\xff\x03", b"\xf0\xff\xff\x03")) * rng.choice(
        (1, 1000, 200_000)
    )
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


MUTATORS: dict[str, tuple[Callable[[Rng], bytes], int]] = {
    "flip footer": (flip_footer, 14),
    "flip page header": (flip_page_header, 14),
    "flip data": (flip_data, 10),
    "overwrite": (overwrite, 8),
    "declare": (declare, 14),
    "declare page": (declare_page, 10),
    "cut": (cut, 4),
    "remove": (remove, 4),
    "repeat": (repeat, 4),
    "blank": (blank, 4),
    "splice": (splice, 4),
    "noise": (noise, 2),
    "retype": (retype, 14),
    "re-encode": (re_encode, 4),
    "rename": (rename, 5),
    "annotate": (annotate, 5),
    "bomb": (bomb, 8),
    "head bomb": (head_bomb, 4),
}
"""Ways to damage a file, each with its weight."""


def make(rng: Rng) -> Case:
    kind = rng.choices(list(MUTATORS), [weight for _, weight in MUTATORS.values()])[0]
    content = MUTATORS[kind][0](rng)
    same_rows = kind in ("re-encode", "annotate")
    like = good()["publisher"] if same_rows else content if kind in ("retype", "rename") else None
    return Case(kind, NAME, content, like)


def real_files(folder: Path) -> None:
    """Mutate the files in `folder` as well."""
    REAL.extend(path.read_bytes() for path in sorted(folder.glob("*.parquet")))
