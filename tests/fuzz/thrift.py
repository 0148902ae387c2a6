"""Thrift's compact protocol: write footers and page headers that no writer would, locate the numbers in real ones.

It shares nothing with `core.load.thrift`, which it tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12

Field = tuple[int, int, Any]
"""Number, type and value: an int, bytes, a pair of (type of the entries, entries), or the fields of a struct."""


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def integer(number: int) -> bytes:
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def struct(*fields: Field) -> bytes:
    """Return a struct's bytes; its fields must be in the order of their numbers."""
    out, last = b"", 0
    for number, kind, value in fields:
        out += bytes([number - last << 4 | kind]) + _value(kind, value)
        last = number
    return out + b"\0"


def _value(kind: int, value: Any) -> bytes:
    if isinstance(value, bytes):
        # A bool has no bytes.
        return varint(len(value)) + value if kind == BINARY else value
    if kind == LIST:
        of, entries = value
        return list_head(len(entries), of) + b"".join(_value(of, entry) for entry in entries)
    return struct(*value) if kind == STRUCT else integer(value)


def list_head(count: int, of: int) -> bytes:
    """Return the head of a list that declares `count` entries, whatever follows it."""
    return bytes([count << 4 | of]) if count < 15 else bytes([0xF0 | of]) + varint(count)


class Spot(NamedTuple):
    """The place of a number, a list's head or a text's length."""

    what: str
    start: int
    end: int
    of: int = 0


def spots(content: bytes) -> list[Spot]:
    """Return all spots in a struct, in the order of the bytes. The struct must be a valid one."""
    return list(_struct(content, [0]))


def _struct(content: bytes, place: list[int]) -> Iterator[Spot]:
    while (head := _byte(content, place)) & 15:
        if not head >> 4:
            _varint(content, place)
        if head & 15 > 2:
            yield from _spots(content, place, head & 15)


def _spots(content: bytes, place: list[int], kind: int) -> Iterator[Spot]:
    start = place[0]
    if kind in (3, 7):
        place[0] += 1 if kind == 3 else 8
    elif kind in (4, I32, I64):
        _varint(content, place)
        yield Spot("number", start, place[0])
    elif kind == BINARY:
        length = _varint(content, place)
        yield Spot("length", start, place[0])
        place[0] += length
    elif kind == STRUCT:
        yield from _struct(content, place)
    else:
        head = _byte(content, place)
        count = head >> 4 if head >> 4 < 15 else _varint(content, place)
        yield Spot("list", start, place[0], head & 15)
        for _ in range(count):
            if head & 15 <= 2:
                place[0] += 1
            else:
                yield from _spots(content, place, head & 15)


def _byte(content: bytes, place: list[int]) -> int:
    place[0] += 1
    return content[place[0] - 1]


def _varint(content: bytes, place: list[int]) -> int:
    number = shift = 0
    while True:
        byte = _byte(content, place)
        number |= (byte & 127) << shift
        if byte < 128:
            return number
        shift += 7
