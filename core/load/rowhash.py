"""The digest of a file's rows from their Arrow batches: bit for bit what `core.digest.table` computes from a table of
them.

It is computed while the server receives the rows, on the core that would otherwise wait for the server. The server
could begin only after the COPY, because no other session sees uncommitted rows, and it takes longer than the COPY. So
this digest describes what the file holds, independently of the encoder; `triptych parity` compares it with what the
table holds.

The server hashes a row as `record_send` writes it: the number of columns, then for each its type, the value's length
(-1 for NULL) and the value, all big-endian. The hash is Bob Jenkins' lookup3, which consumes three words at a time.
Rows of one shape (the same values are NULL, and texts have the same lengths) have their values at the same offsets, so
that each step is one numpy operation on thousands of rows. The publisher's months have three or four shapes.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg.postgres import types

from core.datasets import Dataset
from core.digest import Digest, total

Words = npt.NDArray[np.uint32]

LOT = 8192
"""Rows hashed together: arrays of 64 kB stay in the cache. 4,096 take a third more CPU, and 16,384 a tenth more."""

MOST_SHAPES = 16
"""Each shape is a pass: 2 ms even for one row. With more shapes, as the zones' names have, this is no faster."""

# The bits of a shape that hold the length of one text.
_TEXT_BITS = 8

# PostgreSQL counts from 2000-01-01.
_EPOCHS = {pa.timestamp("us"): 946_684_800_000_000, pa.date32(): 10_957}


class RowHash:
    """The digest of record batches of a dataset's declared schema, added one after the other."""

    def __init__(self, dataset: Dataset) -> None:
        self._oids = [types[column.kind.postgres].oid for column in dataset.table_columns]
        self._waiting: dict[int, list[pa.RecordBatch]] = defaultdict(list)
        self._digest = total([])
        self._given_up = sum(_TEXT_BITS if pa.types.is_string(field.type) else 1 for field in dataset.arrow) > 63

    def add(self, batch: pa.RecordBatch) -> None:
        """Add these rows. Rows of a rare shape wait until there are more of them."""
        shapes = None if self._given_up else _shapes(batch)
        self._given_up = shapes is None
        while shapes is not None and len(shapes) and not self._given_up:
            same = shapes == shapes[0]
            self._gather(int(shapes[0]), _only(batch, same))
            batch, shapes = _only(batch, ~same), shapes[~same]

    def digest(self) -> Digest | None:
        """Return the digest of all rows; None when they have too many shapes, and the server has to compute it."""
        for shape in list(self._waiting):
            self._hash(shape)
        return None if self._given_up else self._digest

    def _gather(self, shape: int, batch: pa.RecordBatch) -> None:
        self._waiting[shape].append(batch)
        self._given_up = len(self._waiting) > MOST_SHAPES
        if sum(waiting.num_rows for waiting in self._waiting[shape]) >= LOT:
            self._hash(shape)

    def _hash(self, shape: int) -> None:
        waiting, self._waiting[shape] = self._waiting[shape], []
        if waiting and not self._given_up:
            batch = pa.concat_batches(waiting) if len(waiting) > 1 else waiting[0]
            for start in range(0, batch.num_rows, LOT):
                self._digest += _digest(batch.slice(start, LOT), self._oids)


# --- shapes ---------------------------------------------------------------------------------------------------------


def _shapes(batch: pa.RecordBatch) -> npt.NDArray[np.int64] | None:
    """Return a number for each row that is equal for rows of one shape only; None when a text is too long for that."""
    shapes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        part: Any = 1
        if text := pa.types.is_string(column.type):
            part = 1 + np.diff(_offsets(column))
            if part.max(initial=0) >> _TEXT_BITS:
                return None
        if column.null_count:
            bits = np.unpackbits(np.frombuffer(column.buffers()[0], np.uint8), bitorder="little")
            part = part * bits[column.offset : column.offset + len(column)]
        shapes = shapes << (_TEXT_BITS if text else 1) | part
    return shapes


def _offsets(text: pa.Array) -> npt.NDArray[np.int32]:
    return np.frombuffer(text.buffers()[1], np.int32, len(text) + 1, 4 * text.offset)


def _only(batch: pa.RecordBatch, which: npt.NDArray[np.bool_]) -> pa.RecordBatch:
    if which.all():
        return batch
    # pa.array would import pandas, where it is installed.
    bits = pa.py_buffer(np.packbits(which, bitorder="little"))
    return batch.filter(pa.Array.from_buffers(pa.bool_(), len(which), [None, bits]))


# --- bytes ----------------------------------------------------------------------------------------------------------

Part = tuple[Callable[..., Words], Words, int]
"""The varying part of one word of the rows' bytes: a column's words, and how they are shifted into place."""


def _lay_out(batch: pa.RecordBatch, oids: Sequence[int]) -> tuple[bytes, dict[int, list[Part]]]:
    """Return what `record_send` writes for rows of one shape: the bytes shared by all, with 0 where the parts vary."""
    shared = bytearray(struct.pack(">i", batch.num_columns))
    parts: dict[int, list[Part]] = defaultdict(list)
    for oid, column in zip(oids, batch.columns, strict=True):
        length, words = (-1, []) if column.null_count else _values(column)
        shared += struct.pack(">Ii", oid, length)
        index, byte = divmod(len(shared), 4)
        for place, word in enumerate(words, start=index):
            parts[place].append((np.left_shift, word, 8 * byte))
            if byte:
                parts[place + 1].append((np.right_shift, word, 32 - 8 * byte))
        shared += bytes(max(length, 0))
    return bytes(shared), parts


def _values(column: pa.Array) -> tuple[int, Sequence[Words]]:
    """Return how many bytes each value has on the wire, and these as words, padded with 0: an array for each four."""
    rows = len(column)
    if pa.types.is_string(column.type):
        start, end = map(int, _offsets(column)[:2])
        padded = np.zeros((rows, (end - start + 3) // 4 * 4), np.uint8)
        if end > start:
            data = np.frombuffer(column.buffers()[2], np.uint8, rows * (end - start), start)
            padded[:, : end - start] = data.reshape(rows, -1)
        return end - start, list(padded.view("<u4").T)
    width = column.type.bit_width // 8
    values = np.frombuffer(column.buffers()[1], f"i{width}", rows, width * column.offset)
    big_endian = (values - _EPOCHS.get(column.type, 0)).astype(f">i{width}")
    return width, list(big_endian.view("<u4").reshape(rows, -1).T)


# --- the hash -------------------------------------------------------------------------------------------------------


def _digest(batch: pa.RecordBatch, oids: Sequence[int]) -> Digest:
    """Return the digest of rows of one shape, with both seeds computed side by side."""
    shared, parts = _lay_out(batch, oids)
    # Whole blocks; a last one of 0 to 11 bytes follows.
    blocks = len(shared) // 12
    constants = np.frombuffer(shared.ljust(12 * blocks + 12, b"\0"), "<u4").tolist()
    a, b, c, spare = state = np.empty((4, 2, batch.num_rows), np.uint32)
    state[:3] = 0x9E3779B9 + 3_923_095 + len(shared)
    # The second seed.
    b[1] += 1
    _mix(a[1], b[1], c[1], spare[1])
    for index, constant in enumerate(constants):
        last = index == 3 * blocks + 2
        into = state[index % 3]
        for shift, words, bits in parts.get(index, ()):
            part = shift(words, bits, out=spare[0])
            into += part << 8 if last else part
        # The lowest byte of the last word is reserved for the length.
        into += constant << 8 if last else constant
        if index % 3 == 2:
            (_final if last else _mix)(a, b, c, spare)
    highs, lows = b.view(np.int32).sum(axis=1, dtype=np.int64), c.sum(axis=1, dtype=np.uint64)
    first, second = ((int(high) << 32) + int(low) for high, low in zip(highs, lows, strict=True))
    return Digest(batch.num_rows, (first, second))


def _mix(a: Words, b: Words, c: Words, spare: Words) -> None:
    for x, y, z, bits in ((a, b, c, 4), (b, c, a, 6), (c, a, b, 8), (a, b, c, 16), (b, c, a, 19), (c, a, b, 4)):
        x -= z
        # A rotation, in two halves.
        x ^= np.left_shift(z, bits, out=spare)
        x ^= np.right_shift(z, 32 - bits, out=spare)
        z += y


def _final(a: Words, b: Words, c: Words, spare: Words) -> None:
    for x, y, bits in ((c, b, 14), (a, c, 11), (b, a, 25), (c, b, 16), (a, c, 4), (b, a, 14), (c, b, 24)):
        x ^= y
        x -= np.left_shift(y, bits, out=spare)
        x -= np.right_shift(y, 32 - bits, out=spare)
