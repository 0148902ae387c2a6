"""Casting a file's batches to the declared schema: without loss, or not at all.

`columns.check_columns` has accepted the names and types of the columns; here each value is cast, or refused by file,
column and row.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from core.datasets import DOUBLE, TEXT, TIMESTAMP, Column, Dataset, Kind
from core.errors import SchemaDrift, quoted
from core.load.columns import is_text

LIMIT = 1e8
"""Amounts and distances below this limit, except for the last cent, fit the exact types that the marts use. Larger ones
and infinities are refused."""

TEXT_BYTES = 256
"""The longest text that is loaded. The publisher's texts are one letter, or a zone's name of up to 45 letters; a number
or a timestamp written as text has up to 35. Without this limit, 11 KB with one long text that every row refers to
become gigabytes."""


def conform(dataset: Dataset, batch: pa.RecordBatch, file: str, first_row: int) -> list[pa.Array]:
    """Cast a batch's published columns to the declared types, in the declared order.

    `first_row` is the number, from 1, of the batch's first row in the file: messages refer to rows by it.
    Raise `SchemaDrift` naming file, column, row and first bad value when a cast would lose anything.
    """
    return [_conform_column(column, batch, file, first_row) for column in dataset.columns]


def with_identity(month_day: dt.date, arrays: list[pa.Array], first_row: int, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch's conformed columns after its ``source_month`` and ``row_number``, which begins at `first_row`."""
    rows = len(arrays[0])
    identity = [
        pa.repeat(_constant(pa.date32(), "=i", (month_day - _EPOCH).days), rows),
        pa.arange(first_row, first_row + rows).cast(pa.int32()),
    ]
    return pa.RecordBatch.from_arrays([*identity, *arrays], schema=schema)


def first_instant(day: dt.date) -> pa.Scalar:
    """Return the first instant of `day` as an Arrow scalar."""
    return _constant(pa.timestamp("us"), "=q", (day - _EPOCH).days * 86_400_000_000)


def _constant(kind: pa.DataType, form: str, value: float) -> pa.Scalar:
    """Return an Arrow scalar, built from its bytes: for a Python value, pyarrow would import an installed pandas."""
    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(struct.pack(form, value))])[0]


_EPOCH = dt.date(1970, 1, 1)
_LIMIT = _constant(pa.float64(), "=d", LIMIT)
_TEXT_BYTES = _constant(pa.int64(), "=q", TEXT_BYTES)
# 0001-01-01 and 10000-01-01
_CALENDAR_START = _constant(pa.timestamp("us"), "=q", -62_135_596_800_000_000)
_CALENDAR_END = _constant(pa.timestamp("us"), "=q", 253_402_300_800_000_000)


# --- which values a kind refuses ------------------------------------------------------------------------------------


def _is_too_large(values: pa.Array) -> pa.Array:
    # NaN compares as false, and is loaded as it was published.
    return pc.greater_equal(pc.abs(values), _LIMIT)


def _is_off_calendar(values: pa.Array) -> pa.Array:
    return pc.or_(pc.less(values, _CALENDAR_START), pc.greater_equal(values, _CALENDAR_END))


def _contains_nul(values: pa.Array) -> pa.Array:
    # The one character that PostgreSQL's text can't hold.
    return pc.match_substring(values, "\0")


_REFUSED: dict[Kind, Callable[[pa.Array], pa.Array]] = {
    DOUBLE: _is_too_large,
    TIMESTAMP: _is_off_calendar,
    TEXT: _contains_nul,
}


# --- one column -----------------------------------------------------------------------------------------------------


def _conform_column(column: Column, batch: pa.RecordBatch, file: str, first_row: int) -> pa.Array:
    name = column.spelling_in(batch.schema.names)
    if name is None:
        return pa.nulls(batch.num_rows, column.kind.arrow)
    values = batch.column(name)
    where = f"{file}: column {name!r}"
    _check_lengths(values, where, first_row)
    if pt.is_dictionary(values.type):
        values = values.dictionary_decode()
    if column.kind.arrow != pa.string() and pt.is_string_view(values.type):
        # Arrow has no cast from a view to a timestamp.
        values = values.cast(pa.string())
    if not column.nullable and (bad := _first_true(values.is_null())) is not None:
        raise SchemaDrift(f"{where}: row {first_row + bad} is NULL, and this column is never NULL")
    cast = _cast(values, column.kind, where, first_row)
    refused = _REFUSED.get(column.kind)
    if refused is not None and (bad := _first_true(refused(cast))) is not None:
        kind = column.kind.postgres
        raise SchemaDrift(f"{where}: row {first_row + bad} is {_show(values[bad])}, out of range for {kind}")
    return cast


def _check_lengths(values: pa.Array, where: str, first_row: int) -> None:
    """Raise `SchemaDrift` on a text longer than `TEXT_BYTES`; in a dictionary, before each row gets a copy of it."""
    texts = values.dictionary if pt.is_dictionary(values.type) else values
    if not is_text(texts.type):
        return
    if pt.is_string_view(texts.type):
        # Arrow can't compute the length of a view.
        texts = texts.cast(pa.string())
    too_long = pc.greater(pc.binary_length(texts), _TEXT_BYTES)
    if too_long.true_count:
        rows = too_long.take(values.indices) if pt.is_dictionary(values.type) else too_long
        if (bad := _first_true(rows)) is not None:
            raise SchemaDrift(f"{where}: row {first_row + bad} is a text of more than {TEXT_BYTES} bytes")


def _cast(values: pa.Array, kind: Kind, where: str, first_row: int) -> pa.Array:
    is_exact = kind is DOUBLE and pt.is_decimal(values.type)
    cast = _double_of_decimal if is_exact else lambda part: part.cast(kind.arrow, safe=True)
    try:
        values.validate(full=True)
        return cast(values)
    except pa.ArrowInvalid:
        bad = _first_failing(values, cast)
        raise SchemaDrift(
            f"{where}: row {first_row + bad} is {_show(values[bad])}, which can't be a {kind.arrow} without loss"
            f"{'; round it to 15 digits' if is_exact else ''}"
        ) from None


def _double_of_decimal(values: pa.Array) -> pa.Array:
    """Return the doubles that are written as these decimals are; raise `ArrowInvalid` when one has more digits than a
    double.

    Through text, in which both directions are exact: pyarrow 26 casts 13 % of all amounts to a neighbor of the nearest
    double.
    """
    doubles = values.cast(pa.string()).cast(pa.float64())
    if pc.not_equal(doubles.cast(pa.string()).cast(values.type), values).true_count:
        raise pa.ArrowInvalid("more digits than a double has")
    return doubles


# --- which row is bad -----------------------------------------------------------------------------------------------


def _first_failing(values: pa.Array, cast: Callable[[pa.Array], Any]) -> int:
    """Return the index of the first value that `cast` fails on, by bisection: a cast does not say where it failed."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fails(values.slice(low, middle - low), cast) else (middle, high)
    return low


def _fails(values: pa.Array, cast: Callable[[pa.Array], Any]) -> bool:
    try:
        values.validate(full=True)
        cast(values)
    except pa.ArrowInvalid:
        return True
    return False


def _first_true(flags: pa.Array) -> int | None:
    if not flags.true_count:
        return None
    index: int = pc.indices_nonzero(flags)[0].as_py()
    return index


def _show(value: pa.Scalar) -> str:
    """Return a value for a message: short, and safe for a terminal whatever bytes it holds."""
    if not is_text(value.type):
        # as_py would need pandas for nanoseconds, and fails beyond the year 9999.
        return str(value.cast(pa.string()))
    try:
        return quoted(repr(value.as_py()))
    except UnicodeDecodeError:
        return f"not UTF-8: {value.as_buffer().to_pybytes()[:20]!r}"
