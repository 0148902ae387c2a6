"""Limits on hostile parquet files, checked before Arrow opens the file.

Arrow allocates the memory that a footer declares, and unpacks whatever a page holds: 62 bytes of footer may ask for 630
MB, 30 KB of zstd for a gigabyte, 11 KB with one long text in its dictionary for 2.3 GB. Arrow has no limit that would
stop any of them. So the footer and the header of every page are read here first, in 1 ms for a real month, and compared
with the limits below. Each is many times what the publisher's files have; together they keep a load under 600 MB. The
worst file that tests/fuzz makes takes 267.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from core.errors import BadFile
from core.load.thrift import CONTAINER, I32, I64, LIST, STRUCT, Damaged, Fields, Reader

__all__ = ["CONTAINER", "check"]

FOOTER_MB = 1.0
"""A real footer has 4 to 11 KB; 20 columns in 450 row groups have 1 MB. Arrow turns one hostile byte into 230."""

ROWS = 50_000_000
"""Three times the publisher's largest month. Ten bytes can declare, and hold, two billion equal rows."""

PAGES = 100_000
"""A real month has 40 to 90; one of `ROWS` rows in pages of 20,000, as some writers cut them, has 52,500."""

PAGES_MB = 256.0
"""One page of each column, unpacked, is in memory at a time. Those of a real month have 20 MB together."""

DICTIONARIES_MB = 32.0
"""One dictionary of each column: short texts take ten times their size in Arrow. Writers stop at 1 MB each."""

VALUE_BYTES = 300
"""The bytes of a page for each of its values, on average: hence what a batch of rows can take, whatever it holds."""

# Levels, and the blocks of delta encodings, which are padded.
_SLACK = 4096
# The longest page header: it may hold the page's smallest and largest value.
_HEADER = 1 << 16
# PageType; 1 is an index page, which no writer uses.
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
# The field of a page's header that describes each type of page.
_ABOUT = {_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}
# Encoding
_DELTA_BYTE_ARRAY = 7

_FEWER_GROUPS = "write the file in fewer, larger row groups"


class _Page(NamedTuple):
    kind: int
    size: int
    values: int
    encoding: int


def check(path: Path, file: str) -> list[int]:
    """Return the columns that have dictionaries; raise `BadFile` when the file is damaged, or exceeds a limit."""
    try:
        with path.open("rb") as content:
            return _Check(content, path.stat().st_size, file).run()
    except (Damaged, IndexError) as error:
        why = str(error) if isinstance(error, Damaged) else "it ends too early"
        raise BadFile(f"{file} can't be read: {why}; fetch it again from the publisher") from None


@dataclass
class _Check:
    content: IO[bytes]
    size: int
    file: str
    pages: int = 0
    coded: set[int] = field(default_factory=set)

    def run(self) -> list[int]:
        groups = [Fields(group) for group in self._footer().get(4, LIST)]
        self._limit(sum(group.size(3, I64) for group in groups), ROWS, "rows")
        for group in groups:
            self._check_group(group)
        return sorted(self.coded)

    def _footer(self) -> Fields:
        self.content.seek(max(0, self.size - 8))
        length = int.from_bytes(self.content.read(4), "little")
        if length > self.size - 12:
            raise Damaged("its footer is longer than the file")
        self._limit(length / 1e6, FOOTER_MB, "MB of footer", _FEWER_GROUPS)
        self.content.seek(self.size - 8 - length)
        return Fields(Reader(self.content.read(length)).struct())

    def _check_group(self, group: Fields) -> None:
        unpacked = dictionaries = 0
        for column, chunk in enumerate(group.get(1, LIST)):
            largest = self._largest_pages(column, Fields(Fields(chunk).get(3, STRUCT)))
            unpacked, dictionaries = unpacked + largest[_DATA], dictionaries + largest[_DICTIONARY]
        self._limit(unpacked / 1e6, PAGES_MB, "MB in a page of each column")
        self._limit(dictionaries / 1e6, DICTIONARIES_MB, "MB in the columns' dictionaries")

    def _largest_pages(self, column: int, chunk: Fields) -> dict[int, int]:
        """Check each page of a column in a row group; return the size of its largest data page and dictionary."""
        largest = {_DATA: 0, _DICTIONARY: 0}
        for page in self._pages(chunk):
            self.pages += 1
            self._limit(self.pages, PAGES, "pages", _FEWER_GROUPS)
            self._check_page(page)
            kind = _DICTIONARY if page.kind == _DICTIONARY else _DATA
            largest[kind] = max(largest[kind], page.size)
            if kind == _DICTIONARY:
                self.coded.add(column)
        return largest

    def _pages(self, chunk: Fields) -> Iterator[_Page]:
        """Yield the pages of a column in a row group, where and as far as Arrow reads them."""
        place, dictionary = chunk.size(9, I64), chunk.get(11, I64, 0)
        if 0 < dictionary < place:
            place = dictionary
        end, missing = place + chunk.size(7, I64), chunk.size(5, I64)
        if end > self.size:
            raise Damaged("a column ends beyond the file")
        while place < end and missing > 0:
            header, length = self._header(place)
            kind, packed = header.get(1, I32), header.size(3, I32)
            if kind not in _ABOUT:
                raise Damaged(f"there is no page of kind {kind}")
            about = Fields(header.get(_ABOUT[kind], STRUCT))
            values, encoding = about.size(1, I32), about.get(4 if kind == _DATA_V2 else 2, I32)
            yield _Page(kind, max(header.size(2, I32), packed), values, encoding)
            missing -= values if kind != _DICTIONARY else 0
            place += length + packed

    def _header(self, place: int) -> tuple[Fields, int]:
        for size in (1 << 10, _HEADER):
            self.content.seek(place)
            reader = Reader(self.content.read(size))
            try:
                return Fields(reader.struct()), reader.place
            except IndexError:
                # The header is longer than what was read.
                continue
        raise Damaged(f"there is no page at byte {place}")

    def _check_page(self, page: _Page) -> None:
        if page.size > VALUE_BYTES * page.values + _SLACK:
            raise BadFile(
                f"{self.file} has a page of {page.size} bytes for {page.values} values, and {VALUE_BYTES} for each are "
                "the limit; fetch it again from the publisher"
            )
        # In this encoding each text may repeat the one before it: no size says how long they are.
        if page.encoding == _DELTA_BYTE_ARRAY:
            raise BadFile(
                f"{self.file} has texts in DELTA_BYTE_ARRAY, which is not read; write it with dictionaries, or plain"
            )

    def _limit(self, number: float, limit: float, what: str, remedy: str = "is it the right file?") -> None:
        if number > limit:
            raise BadFile(f"{self.file} declares {number:,.10g} {what}, and {limit:,.10g} is the limit; {remedy}")
