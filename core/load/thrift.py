"""A reader of Thrift's compact protocol, in which parquet writes its footer and the header of each page.

What Arrow would read in another way than this reader (a field that occurs twice, or that has another type) is refused,
so that the two can't disagree on a size.
"""

from __future__ import annotations

import struct
from typing import Any

CONTAINER = 10_000
"""The longest list in a footer: of columns, or of row groups. Arrow allocates all entries before it reads the first."""

I32, I64, BINARY, LIST, SET, MAP, STRUCT = 5, 6, 8, 9, 10, 11, 12
_BYTE, _DOUBLE = 3, 7
_BITS = {_BYTE: 8, 4: 16, I32: 32, I64: 64}
_DEPTH = 16
_REQUIRED = object()

# The number of each field, with its type and its value.
Struct = dict[int, tuple[int, Any]]


class Damaged(Exception):
    """The bytes are not what the format says."""


class Fields:
    """The fields of a struct, by the numbers that the format assigns to them."""

    def __init__(self, fields: Struct) -> None:
        if not isinstance(fields, dict):
            raise Damaged("there is no struct where one should be")
        self._fields = fields

    def get(self, number: int, kind: int, default: Any = _REQUIRED) -> Any:
        """Return a field's value; raise `Damaged` when it has another type, or is missing and has no default."""
        actual, value = self._fields.get(number, (kind, default))
        if actual != kind or value is _REQUIRED:
            raise Damaged(f"field {number} is missing, or of another type")
        return value

    def size(self, number: int, kind: int) -> int:
        """Return the value of a field that can't be negative."""
        value: int = self.get(number, kind)
        if value < 0:
            raise Damaged(f"field {number} is {value}")
        return value


class Reader:
    """Reads structs. It raises `Damaged` on bytes that are no struct, and `IndexError` where they end too early."""

    def __init__(self, content: bytes) -> None:
        self._content, self.place = content, 0

    def struct(self, depth: int = 0) -> Struct:
        """Return the struct that begins here."""
        fields: Struct = {}
        number = 0
        while (head := self._byte()) & 15:
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._integer(16)
            if number in fields or not 0 < number < 1 << 15:
                raise Damaged(f"field {number} is there twice, or can't be")
            # The type of a bool is its value.
            fields[number] = kind, kind if kind <= 2 else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEPTH:
            raise Damaged("it is nested too deep")
        if kind in _BITS:
            return self._byte() if kind == _BYTE else self._integer(_BITS[kind])
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            return self._list(depth + 1)
        if kind == MAP:
            return self._map(depth + 1)
        if kind == _DOUBLE:
            return struct.unpack("<d", self._bytes(8))[0]
        raise Damaged(f"there is no type {kind}")

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
            raise Damaged(f"a list has {count} entries, and {CONTAINER} is the limit")
        return count

    def _integer(self, bits: int) -> int:
        number = self._varint()
        if number >> bits:
            raise Damaged(f"a number has more than {bits} bits")
        return (number >> 1) ^ -(number & 1)

    def _varint(self) -> int:
        number = shift = 0
        while shift < 64:
            byte = self._byte()
            number |= (byte & 127) << shift
            if byte < 128:
                return number
            shift += 7
        raise Damaged("a number does not end")

    def _byte(self) -> int:
        byte = self._content[self.place]
        self.place += 1
        return byte

    def _bytes(self, count: int) -> bytes:
        if self.place + count > len(self._content):
            raise IndexError
        self.place += count
        return self._content[self.place - count : self.place]
