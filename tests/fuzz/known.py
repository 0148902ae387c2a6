"""Files that once broke the loader, or were expected to: each with the error that it must lead to."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pyarrow as pa

from core.errors import BadFile, SchemaDrift, TriptychError
from tests.fuzz import csv_files, thrift
from tests.fuzz.parquet_files import (
    NAME,
    Case,
    Page,
    crafted,
    footer_of,
    good,
    indices,
    page_headers,
    plain,
    repeated,
    table,
    with_footer,
    written,
)

Expected = tuple[type[TriptychError], str]
"""The error, and a part of its message."""


def _declared(*fields: thrift.Field) -> bytes:
    """Return a file of nothing but a footer with these fields."""
    footer = thrift.struct(*fields)
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _one_bit() -> bytes:
    """Return a file whose first page claims to hold data and not a dictionary."""
    content = bytearray(good()["publisher"])
    content[page_headers(bytes(content))[0] + 1] ^= 2
    return bytes(content)


def _twice() -> bytes:
    """Return a file whose page headers state the size twice: a small one, then the true one."""

    def pages(name: str, physical: int) -> list[Page]:
        return [_Twice(plain(physical, 10), 10)]

    return crafted(pages, 10)


class _Twice(Page):
    @property
    def bytes(self) -> bytes:
        whole = super().bytes
        # Field 2 by its number, not by the distance from the field before.
        return whole[:2] + b"\x05\x04\x02" + b"\x05\x04" + whole[3:]


def _texts(text: str, rows: int = 20_000, short: int = 0) -> bytes:
    """Return a month with `text` in every row after the first `short` ones."""
    values = [*map(str, range(short)), *[text] * (rows - short)]
    return written(_with("store_and_fwd_flag", pa.array(values), rows), compression="zstd")


def _with(name: str, values: pa.Array, rows: int) -> pa.Table:
    content = pa.concat_tables([table()] * (rows // len(table()) + 1)).slice(0, rows)
    return content.set_column(content.column_names.index(name), name, values)


def _struct(name: str) -> bytes:
    return written(_with("extra", pa.array([{name: 1}] * 10), 10))


def _renamed(name: str) -> bytes:
    return written(table().rename_columns([name, *table().column_names[1:]]))


def _delta() -> bytes:
    month = _with("store_and_fwd_flag", pa.array(["N"] * 10), 10)
    return written(month, use_dictionary=False, column_encoding={"store_and_fwd_flag": "DELTA_BYTE_ARRAY"})


def _rows(count: int) -> bytes:
    """Return a file that declares `count` rows and holds a hundred."""
    return crafted(repeated(100), count)


CASES: dict[str, tuple[Callable[[], bytes], Expected]] = {
    "a long text in every row": (
        lambda: _texts("N" * 60_000),
        (BadFile, "has a page of 60004 bytes for 1 values, and 300 for each"),
    ),
    "a long text in every row but some": (
        lambda: _texts("N" * 60_000, 20_000, 400),
        (SchemaDrift, "row 401 is a text of more than 256 bytes"),
    ),
    "a longer one": (
        lambda: crafted(repeated(16_384, b"N" * 70_000), 16_384),
        (BadFile, "has a page of 70004 bytes for 1 values"),
    ),
    "one text of a megabyte": (lambda: _texts("N" * 1_000_000, 1), (BadFile, "has a page of")),
    "texts that repeat the one before": (_delta, (BadFile, "has texts in DELTA_BYTE_ARRAY")),
    "a long list of columns": (
        lambda: _declared((2, thrift.LIST, thrift.list_head(900_000, 12))),
        (BadFile, "a list has 900000 entries"),
    ),
    "a list of lists": (
        lambda: _declared((2, thrift.LIST, thrift.list_head(9000, 9) + b"\xf9\xa8\x46" * 30)),
        (BadFile, "nested too deep"),
    ),
    "a list without types": (
        lambda: _declared((2, thrift.LIST, thrift.list_head(9000, 0))),
        (BadFile, "there is no type 0"),
    ),
    "row groups that are numbers": (
        lambda: _declared((4, thrift.LIST, (thrift.I32, [1, 2]))),
        (BadFile, "no struct where one should be"),
    ),
    "a footer of two megabytes": (
        lambda: written(table().replace_schema_metadata({"x": "y" * 2_000_000})),
        (BadFile, "MB of footer, and 1 is the limit"),
    ),
    "a footer longer than the file": (
        lambda: good()["plain"][:-8] + b"\xff\xff\xff\x7fPAR1",
        (BadFile, "longer than the file"),
    ),
    "no footer": (lambda: with_footer(good()["plain"], b""), (BadFile, "it ends too early")),
    "too many rows": (lambda: _rows(50_000_001), (BadFile, "declares 50,000,001 rows, and 50,000,000 is the limit")),
    "rows that are not there": (lambda: _rows(300), (BadFile, "declares 300 rows, and holds 100")),
    "one bit that empties the month": (_one_bit, (BadFile, "field 8 is missing, or of another type")),
    "a size given twice": (_twice, (BadFile, "field 2 is there twice")),
    "pages that unpack to gigabytes": (
        lambda: crafted(lambda _, kind: [Page(b"", 40_000_000, size=300_000_000)], 40_000_000),
        (BadFile, "MB in a page of each column, and 256 is the limit"),
    ),
    "dictionaries that unpack to much": (
        lambda: crafted(
            lambda _, kind: [Page(b"", 300_000, kind=2, size=2_000_000), Page(indices(10), 10, encoding=8)], 10
        ),
        (BadFile, "MB in the columns' dictionaries, and 32 is the limit"),
    ),
    "a page beyond the end": (
        lambda: good()["plain"][:3000] + good()["plain"][-8 - len(footer_of(good()["plain"])[1]) :],
        (BadFile, "can't be read"),
    ),
    "a long name": (lambda: _renamed("a" * 100_000), (SchemaDrift, "column 'aaaa")),
    "a name that paints the terminal": (lambda: _renamed("\x1b[2J\n\0"), (SchemaDrift, r"column '\x1b[2J\n\x00'")),
    "a type that paints the terminal": (lambda: _struct("\x1b[2J"), (SchemaDrift, r"is struct<\x1b[2J: int64>")),
    "a type of many letters": (lambda: _struct("a" * 5000), (SchemaDrift, "is struct<aaaa")),
}
"""How each file is made, and what its error must say."""

LOOKUPS: dict[str, tuple[Callable[[], bytes], Expected]] = {
    "five megabytes": (
        lambda: csv_files.good() + b"1,a,b,c\r\n" * 600_000,
        (BadFile, "4 MB is the limit; is it the right file?"),
    ),
    "a line of two megabytes": (
        lambda: csv_files.good() + b'266,"' + b"x" * 2_000_000 + b'",b,c\r\n',
        (SchemaDrift, "row 266 is a text of more than 256 bytes"),
    ),
    "a text of 300 letters": (
        lambda: csv_files.good() + b"266," + b"x" * 300 + b",b,c\r\n",
        (SchemaDrift, "row 266 is a text of more than 256 bytes"),
    ),
    "UTF-16": (lambda: csv_files.good().decode().encode("utf-16"), (BadFile, "can't be read")),
    "a column named by a megabyte": (
        lambda: csv_files.good().replace(b"Zone", b"x" * 900_000, 1),
        (SchemaDrift, "column 'xxxx"),
    ),
    "a key that is there twice": (lambda: csv_files.good() + b"265,a,b,c\r\n", (SchemaDrift, "265 is there twice")),
    "a key that is long": (
        lambda: csv_files.good() + b"9" * 300 + b",a,b,c\r\n",
        (SchemaDrift, "row 266 is a text of more than 256 bytes"),
    ),
    "a key that is too large": (
        lambda: csv_files.good() + b"2147483648,a,b,c\r\n",
        (SchemaDrift, "row 266 is '2147483648'"),
    ),
}
"""The same for the zone lookup."""


@functools.cache
def _all() -> list[Case]:
    return [Case("known", NAME, make()) for make, _ in CASES.values()] + [
        Case("known", csv_files.NAME, make()) for make, _ in LOOKUPS.values()
    ]


def case(number: int) -> Case:
    """Return the case of that number."""
    return _all()[number]
