"""What a parquet file says of its own sizes, looked at before Arrow is given the file.

Arrow takes the memory that a footer declares, and unpacks whatever a page holds: 62 bytes of footer may ask for 630 MB,
30 KB of zstd for a gigabyte, 11 KB with one long text in its dictionary for 2.3 GB. It has no limit that would stop either. So
the footer and the header of every page are read here first, in 1 ms for a real month, and held against the limits below.
Each is many times what the publisher's files have; together they keep a load under 600 MB. The worst that tests/fuzz makes
takes 267.

Both are structs in Thrift's compact protocol. What Arrow would read in another way than this reader (a field given twice,
or of another type) is refused, so that the two can't disagree on a size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from core.errors import BadFile

FOOTER_MB = 1.0
"""A real one has 4 to 11 KB; of 20 columns in 450 row groups, 1 MB. Arrow makes 230 bytes of one byte of a hostile one."""

CONTAINER = 10_000
"""Entries of one list in a footer: columns, row groups. Arrow takes the memory for all of them before it reads the first."""

ROWS = 50_000_000
"""Three times the publisher's largest month. Ten bytes can declare, and hold, two billion equal rows."""

PAGES = 100_000
"""A real month has 40 to 90; one of `ROWS` rows in pages of 20,000, as some writers cut them, 52,500."""

PAGES_MB = 256.0
"""One page of each column, unpacked: so many are in memory at a time. A real month's have 20 MB together."""

DICTIONARIES_MB = 32.0
"""One dictionary of each column: texts of a few letters take ten times their size in Arrow. Writers stop at 1 MB each."""

VALUE_BYTES = 300
"""A page's bytes for each of its values, on average: hence what a batch of rows can take, whatever is in it."""

_SLACK = 4096  # levels, and the blocks of delta encodings, which are padded
_HEADER = 1 << 16  # the longest page header: it may hold the page's smallest and largest value
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3  # PageType; 1 is that of an index, which no writer uses
_ABOUT = {_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}  # where a page's header tells about it
_DELTA_BYTE_ARRAY = 7  # Encoding


class _Damaged(Exception):
    """What is there is not what the format says."""


class _Page(NamedTuple):
    kind: int
    size: int
    values: int
    encoding: int


def check(path: Path, file: str) -> list[int]:
    """Give which columns have dictionaries; raise `BadFile` when the file is damaged, or more than the limits allow."""
    try:
        with path.open("rb") as content:
            return _check(content, path.stat().st_size, file)
    except (_Damaged, IndexError) as error:
        why = str(error) if isinstance(error, _Damaged) else "it ends too early"
        raise BadFile(f"{file} can't be read: {why}; fetch it again from the publisher") from None


def _check(content: IO[bytes], size: int, file: str) -> list[int]:
    footer = _footer(content, size, file)
    groups = [_Fields(group) for group in footer.get(4, _LIST)]
    _limit(sum(group.size(3, _I64) for group in groups), ROWS, "rows", file)
    coded = set()
    pages = 0
    for group in groups:
        unpacked = dictionaries = 0
        for column, chunk in enumerate(group.get(1, _LIST)):
            largest = {_DATA: 0, _DICTIONARY: 0}
            for page in _pages(content, size, _Fields(_Fields(chunk).get(3, _STRUCT))):
                pages += 1
                _limit(pages, PAGES, "pages", file, "write the file in fewer, larger row groups")
                _check_page(page, file)
                kind = _DICTIONARY if page.kind == _DICTIONARY else _DATA
                largest[kind] = max(largest[kind], page.size)
                if kind == _DICTIONARY:
                    coded.add(column)
            unpacked, dictionaries = unpacked + largest[_DATA], dictionaries + largest[_DICTIONARY]
        _limit(unpacked / 1e6, PAGES_MB, "MB in a page of each column", file)
        _limit(dictionaries / 1e6, DICTIONARIES_MB, "MB in the columns' dictionaries", file)
    return sorted(coded)


def _footer(content: IO[bytes], size: int, file: str) -> _Fields:
    content.seek(max(0, size - 8))
    length = int.from_bytes(content.read(4), "little")
    if length > size - 12:
        raise _Damaged("its footer is longer than the file")
    _limit(length / 1e6, FOOTER_MB, "MB of footer", file, "write the file in fewer, larger row groups")
    content.seek(size - 8 - length)
    return _Fields(_Thrift(content.read(length)).struct())


def _pages(content: IO[bytes], size: int, chunk: _Fields) -> Iterator[_Page]:
    """The pages of a column in a row group, where and as far as Arrow reads them."""
    place, dictionary = chunk.size(9, _I64), chunk.get(11, _I64, 0)
    if 0 < dictionary < place:
        place = dictionary
    end, missing = place + chunk.size(7, _I64), chunk.size(5, _I64)
    if end > size:
        raise _Damaged("a column ends beyond the file")
    while place < end and missing > 0:
        header, length = _header(content, place)
        kind, packed = header.get(1, _I32), header.size(3, _I32)
        if kind not in _ABOUT:
            raise _Damaged(f"there is no page of kind {kind}")
        about = _Fields(header.get(_ABOUT[kind], _STRUCT))
        values, encoding = about.size(1, _I32), about.get(4 if kind == _DATA_V2 else 2, _I32)
        yield _Page(kind, max(header.size(2, _I32), packed), values, encoding)
        missing -= values if kind != _DICTIONARY else 0
        place += length + packed


def _header(content: IO[bytes], place: int) -> tuple[_Fields, int]:
    for size in (1 << 10, _HEADER):
        content.seek(place)
        reader = _Thrift(content.read(size))
        try:
            return _Fields(reader.struct()), reader.place
        except IndexError:
            continue  # it goes on behind what was read
    raise _Damaged(f"there is no page at byte {place}")


def _check_page(page: _Page, file: str) -> None:
    if page.size > VALUE_BYTES * page.values + _SLACK:
        raise BadFile(
            f"{file} has a page of {page.size} bytes for {page.values} values, and {VALUE_BYTES} for each are the limit; "
            "fetch it again from the publisher"
        )
    if page.encoding == _DELTA_BYTE_ARRAY:  # each text may repeat the one before it: no size says how long they are
        raise BadFile(f"{file} has texts in DELTA_BYTE_ARRAY, which is not read; write it with dictionaries, or plain")


def _limit(number: float, limit: float, what: str, file: str, todo: str = "is it the right file?") -> None:
    if number > limit:
        raise BadFile(f"{file} declares {number:,.10g} {what}, and {limit:,.10g} is the limit; {todo}")


# --- Thrift's compact protocol --------------------------------------------------------------------------------------

_I32, _I64, _BINARY, _LIST, _SET, _MAP, _STRUCT = 5, 6, 8, 9, 10, 11, 12
_BITS = {3: 8, 4: 16, _I32: 32, _I64: 64}
_DEPTH = 16
_REQUIRED = object()

_Struct = dict[int, tuple[int, Any]]  # number of the field -> its type and value


class _Fields:
    """A struct's fields, by the numbers that the format gives them."""

    def __init__(self, fields: _Struct) -> None:
        if not isinstance(fields, dict):
            raise _Damaged("there is no struct where one should be")
        self._fields = fields

    def get(self, number: int, kind: int, default: Any = _REQUIRED) -> Any:
        found, value = self._fields.get(number, (kind, default))
        if found != kind or value is _REQUIRED:
            raise _Damaged(f"field {number} is missing, or of another type")
        return value

    def size(self, number: int, kind: int) -> int:
        """A field that can't be negative."""
        value: int = self.get(number, kind)
        if value < 0:
            raise _Damaged(f"field {number} is {value}")
        return value


class _Thrift:
    """Reads structs. Raises `_Damaged` on what is none, and `IndexError` where the bytes end too early."""

    def __init__(self, content: bytes) -> None:
        self._content, self.place = content, 0

    def struct(self, depth: int = 0) -> _Struct:
        fields: _Struct = {}
        number = 0
        while (head := self._byte()) & 15:
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._integer(16)
            if number in fields or not 0 < number < 1 << 15:
                raise _Damaged(f"field {number} is there twice, or can't be")
            fields[number] = kind, kind if kind <= 2 else self._value(kind, depth)  # a bool is its type
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEPTH:
            raise _Damaged("it is nested too deep")
        if kind in _BITS:
            return self._byte() if kind == 3 else self._integer(_BITS[kind])
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth + 1)
        if kind == _MAP:
            return self._map(depth + 1)
        if kind == 7:
            return struct.unpack("<d", self._bytes(8))[0]
        raise _Damaged(f"there is no type {kind}")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = self._count(head >> 4 if head >> 4 < 15 else self._varint())
        return [self._element(head & 15, depth) for _ in range(count)]

    def _map(self, depth: int) -> list[Any]:
        count = self._count(self._varint())
        kinds = self._byte() if count else 0
        return [(self._element(kinds >> 4, depth), self._element(kinds & 15, depth)) for _ in range(count)]

    def _element(self, kind: int, depth: int) -> Any:
        return self._byte() if kind in (1, 2) else self._value(kind, depth)

    def _count(self, count: int) -> int:
        if count > CONTAINER:
            raise _Damaged(f"a list has {count} entries, and {CONTAINER} is the limit")
        return count

    def _integer(self, bits: int) -> int:
        number = self._varint()
        if number >> bits:
            raise _Damaged(f"a number has more than {bits} bits")
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = shift = 0
        while shift < 64:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
        raise _Damaged("a number does not end")

    def _byte(self) -> int:
        byte = self._content[self.place]
        self.place += 1
        return byte

    def _bytes(self, count: int) -> bytes:
        if self.place + count > len(self._content):
            raise IndexError
        self.place += count
        return self._content[self.place - count : self.place]
