"""What a published file holds, declared once per dataset, and how each file is brought to it.

Binary COPY carries no types: a double written into a bigint column lands as garbage without an error, and the publisher
has changed types between months. So every file, whatever its encoding, is cast to one declared Arrow schema, and that
schema is asserted against the catalogue before each COPY (`core.load`).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from core.errors import SchemaDrift, UsageError, quoted

LIMIT = 1e8
"""Amounts and distances below this, but for the last cent, fit the exact types that the marts use; infinities and larger ones are refused."""


@dataclass(frozen=True)
class Kind:
    """A column's type on both sides, the published types it may come from, and which values it can't hold."""

    arrow: pa.DataType
    postgres: str
    accepts: Callable[[pa.DataType], bool]
    refuses: Callable[[pa.Array], pa.Array] | None = None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return pt.is_integer(kind) or pt.is_floating(kind) or _is_text(kind)


def _is_timestamp(kind: pa.DataType) -> bool:
    return bool(pt.is_timestamp(kind) and kind.tz is None) or _is_text(kind)


def _constant(kind: pa.DataType, form: str, value: float) -> pa.Scalar:
    """A value as Arrow's, made of its bytes: from a Python value pyarrow would import pandas, where it is installed."""
    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(struct.pack(form, value))])[0]


TEXT_BYTES = 256
"""The longest text that is loaded. The publisher's are one letter, or a zone's name of up to 45; a number or a moment as text
has 35. Without it, 11 KB with one long text that every row refers to become gigabytes."""

_LIMIT = _constant(pa.float64(), "=d", LIMIT)
_TEXT_BYTES = _constant(pa.int64(), "=q", TEXT_BYTES)


def _out_of_range(values: pa.Array) -> pa.Array:
    return pc.greater_equal(pc.abs(values), _LIMIT)  # NaN compares false: it is published as it is


def _out_of_calendar(values: pa.Array) -> pa.Array:
    return pc.or_(pc.less(values, _FIRST_INSTANT), pc.greater_equal(values, _LAST_INSTANT))


_FIRST_INSTANT = _constant(pa.timestamp("us"), "=q", -62_135_596_800_000_000)  # 0001-01-01
_LAST_INSTANT = _constant(pa.timestamp("us"), "=q", 253_402_300_800_000_000)  # 10000-01-01


def _holds_nul(values: pa.Array) -> pa.Array:
    return pc.match_substring(values, "\0")  # the one character that PostgreSQL's text can't hold


INTEGER = Kind(pa.int32(), "integer", _is_number)
DOUBLE = Kind(pa.float64(), "double precision", _is_number, _out_of_range)
TIMESTAMP = Kind(pa.timestamp("us"), "timestamp without time zone", _is_timestamp, _out_of_calendar)
TEXT = Kind(pa.string(), "text", _is_text, _holds_nul)
DATE = Kind(pa.date32(), "date", pt.is_date)


@dataclass(frozen=True)
class Column:
    """A published column: its name in the file and in the table, its kind, and whether it may be NULL or absent.

    `also` are other spellings that the publisher has used for it; a file has one of them.
    """

    published: str
    name: str
    kind: Kind
    nullable: bool = True
    also: tuple[str, ...] = ()

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every name that it has had in a file."""
        return (self.published, *self.also)

    def spelling_in(self, names: Sequence[str]) -> str | None:
        """How a file with columns so named spells it; None when it has none."""
        return next((spelling for spelling in self.spellings if spelling in names), None)


@dataclass(frozen=True)
class Dataset:
    """A published dataset. `paths` are where its file may be, relative to a source; ``{month}`` is replaced."""

    name: str
    table: str
    columns: tuple[Column, ...]
    paths: tuple[str, ...]
    monthly: bool
    key: str | None = None

    @property
    def table_columns(self) -> tuple[Column, ...]:
        """The table's columns in order: a monthly one's begin with the partition and the row's place in the file."""
        return (*_IDENTITY, *self.columns) if self.monthly else self.columns

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema that every batch has on its way into COPY."""
        return pa.schema([pa.field(column.name, column.kind.arrow, column.nullable) for column in self.table_columns])

    @property
    def declaration(self) -> str:
        """Which declaration this is: the same bytes loaded under another one are not the same rows."""
        # A column of one spelling says what it said before there were others: what is loaded stays loaded.
        said = [(c.published, c.name, c.kind.postgres, c.nullable, *c.also) for c in self.table_columns]
        return hashlib.sha256(repr((self.table, said)).encode()).hexdigest()[:16]


# There is no natural key: a charge and its reversal repeat (vendor, times, places). The place in the file is one.
_IDENTITY = (Column("", "source_month", DATE, nullable=False), Column("", "row_number", INTEGER, nullable=False))

GREEN = Dataset(
    name="green",
    table="raw_trips",
    monthly=True,
    paths=("green_tripdata_{month}.parquet", "green/green_tripdata_{month}.parquet"),
    columns=(
        Column("VendorID", "vendor_id", INTEGER, nullable=False),
        Column("lpep_pickup_datetime", "pickup_datetime", TIMESTAMP, nullable=False),
        Column("lpep_dropoff_datetime", "dropoff_datetime", TIMESTAMP, nullable=False),
        Column("store_and_fwd_flag", "store_and_fwd_flag", TEXT),
        Column("RatecodeID", "rate_code_id", INTEGER),
        Column("PULocationID", "pickup_location_id", INTEGER, nullable=False),
        Column("DOLocationID", "dropoff_location_id", INTEGER, nullable=False),
        Column("passenger_count", "passenger_count", INTEGER),
        Column("trip_distance", "trip_distance", DOUBLE, nullable=False),
        Column("fare_amount", "fare_amount", DOUBLE, nullable=False),
        Column("extra", "extra", DOUBLE),
        Column("mta_tax", "mta_tax", DOUBLE),
        Column("tip_amount", "tip_amount", DOUBLE),
        Column("tolls_amount", "tolls_amount", DOUBLE),
        Column("ehail_fee", "ehail_fee", DOUBLE),
        Column("improvement_surcharge", "improvement_surcharge", DOUBLE),
        Column("total_amount", "total_amount", DOUBLE, nullable=False),
        Column("payment_type", "payment_type", INTEGER),
        Column("trip_type", "trip_type", INTEGER),
        Column("congestion_surcharge", "congestion_surcharge", DOUBLE),
        Column("cbd_congestion_fee", "cbd_congestion_fee", DOUBLE),
    ),
)

YELLOW = Dataset(
    name="yellow",
    table="raw_yellow_trips",
    monthly=True,
    paths=("yellow_tripdata_{month}.parquet", "yellow/yellow_tripdata_{month}.parquet"),
    columns=(
        Column("VendorID", "vendor_id", INTEGER, nullable=False),
        Column("tpep_pickup_datetime", "pickup_datetime", TIMESTAMP, nullable=False),
        Column("tpep_dropoff_datetime", "dropoff_datetime", TIMESTAMP, nullable=False),
        Column("passenger_count", "passenger_count", INTEGER),
        Column("trip_distance", "trip_distance", DOUBLE, nullable=False),
        Column("RatecodeID", "rate_code_id", INTEGER),
        Column("store_and_fwd_flag", "store_and_fwd_flag", TEXT),
        Column("PULocationID", "pickup_location_id", INTEGER, nullable=False),
        Column("DOLocationID", "dropoff_location_id", INTEGER, nullable=False),
        Column("payment_type", "payment_type", INTEGER),
        Column("fare_amount", "fare_amount", DOUBLE, nullable=False),
        Column("extra", "extra", DOUBLE),
        Column("mta_tax", "mta_tax", DOUBLE),
        Column("tip_amount", "tip_amount", DOUBLE),
        Column("tolls_amount", "tolls_amount", DOUBLE),
        Column("improvement_surcharge", "improvement_surcharge", DOUBLE),
        Column("total_amount", "total_amount", DOUBLE, nullable=False),
        Column("congestion_surcharge", "congestion_surcharge", DOUBLE),
        Column("airport_fee", "airport_fee", DOUBLE, also=("Airport_fee",)),  # the latter from 2023-02 on
        Column("cbd_congestion_fee", "cbd_congestion_fee", DOUBLE),  # from 2025-01 on
    ),
)

ZONES = Dataset(
    name="zones",
    table="raw_zones",
    monthly=False,
    # The publisher keeps the lookup beside the folder of the trips, not in it.
    paths=("taxi_zone_lookup.csv", "../taxi_zone_lookup.csv", "../misc/taxi_zone_lookup.csv"),
    key="location_id",
    columns=(
        Column("LocationID", "location_id", INTEGER, nullable=False),
        Column("Borough", "borough", TEXT),
        Column("Zone", "zone", TEXT),
        Column("service_zone", "service_zone", TEXT),
    ),
)


DATASETS = {dataset.name: dataset for dataset in (GREEN, YELLOW, ZONES)}
"""Every dataset by name."""

MODELLED = (GREEN, ZONES)
"""Those that the dbt models are built from. Their tables are in every schema; another's from its first load on."""


def dataset(name: str, *, monthly: bool) -> Dataset:
    """The dataset called `name`; raise `UsageError` when there is none, or it has months and none is named, or has none."""
    if name not in DATASETS:
        raise UsageError(f"{name!r} is not a dataset: choose one of {', '.join(DATASETS)}")
    if DATASETS[name].monthly != monthly:
        raise UsageError(
            f"{name} is loaded {'by the month: name one' if DATASETS[name].monthly else 'whole: name no month'}"
        )
    return DATASETS[name]


def check_columns(dataset: Dataset, published: pa.Schema, file: str) -> None:
    """Raise `SchemaDrift` on an unknown, doubled or missing required column, and on a type that never conforms."""
    known = {spelling: column for column in dataset.columns for spelling in column.spellings}
    for name in published.names:
        if name not in known:
            raise SchemaDrift(
                f"{file}: column {quoted(repr(name))} is not one that {dataset.name} declares; "
                "if the publisher added it, declare it in core/schema.py"
            )
        if published.names.count(name) > 1:
            raise SchemaDrift(
                f"{file}: column {quoted(repr(name))} is there twice; fetch the file again from the publisher"
            )
    for column in dataset.columns:
        there = [spelling for spelling in column.spellings if spelling in published.names]
        if len(there) > 1:
            raise SchemaDrift(
                f"{file}: columns {' and '.join(map(repr, there))} are the same one under two names, and a file has one of "
                "them; fetch it again from the publisher"
            )
        if there:
            _check_type(there[0], column.kind, published.field(there[0]).type, file)
        elif not column.nullable:
            raise SchemaDrift(
                f"{file}: required column {column.published!r} is missing; fetch the file again from the publisher"
            )


def _check_type(name: str, declared: Kind, kind: pa.DataType, file: str) -> None:
    plain = kind.value_type if pt.is_dictionary(kind) else kind
    if pt.is_timestamp(plain) and plain.tz is not None:
        raise SchemaDrift(
            f"{file}: column {name!r} is {quoted(plain)}: a time zone would shift every value; write local time without a zone"
        )
    if not pt.is_null(plain) and not declared.accepts(plain):
        raise SchemaDrift(f"{file}: column {name!r} is {quoted(plain)}, which is never a {declared.arrow}")


def conform(dataset: Dataset, batch: pa.RecordBatch, file: str, first_row: int) -> list[pa.Array]:
    """Cast a batch's published columns to the declared types, in the declared order.

    `first_row` is the number, from 1, of the batch's first row in the file: messages name rows by it.
    Raise `SchemaDrift` naming file, column, row and first bad value when a cast would lose anything.
    """
    return [_conform_column(column, batch, file, first_row) for column in dataset.columns]


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
        values = values.cast(pa.string())  # Arrow has no cast from a view to a timestamp
    if not column.nullable and (bad := _first_true(values.is_null())) is not None:
        raise SchemaDrift(f"{where}: row {first_row + bad} is NULL, and this column is never NULL")
    cast = _cast(values, column.kind, where, first_row)
    if column.kind.refuses is not None and (bad := _first_true(column.kind.refuses(cast))) is not None:
        kind = column.kind.postgres
        raise SchemaDrift(f"{where}: row {first_row + bad} is {_show(values[bad])}, out of range for {kind}")
    return cast


def _check_lengths(values: pa.Array, where: str, first_row: int) -> None:
    """Raise `SchemaDrift` on a text longer than `TEXT_BYTES`; in a dictionary, before it becomes a text for each row."""
    texts = values.dictionary if pt.is_dictionary(values.type) else values
    if not _is_text(texts.type):
        return
    if pt.is_string_view(texts.type):
        texts = texts.cast(pa.string())  # Arrow has no length of a view
    long = pc.greater(pc.binary_length(texts), _TEXT_BYTES)
    if long.true_count:
        rows = long.take(values.indices) if pt.is_dictionary(values.type) else long
        if (bad := _first_true(rows)) is not None:
            raise SchemaDrift(f"{where}: row {first_row + bad} is a text of more than {TEXT_BYTES} bytes")


def _cast(values: pa.Array, kind: Kind, where: str, first_row: int) -> pa.Array:
    try:
        values.validate(full=True)
        return values.cast(kind.arrow, safe=True)
    except pa.ArrowInvalid:
        bad = _first_failing(values, lambda part: part.cast(kind.arrow, safe=True))
        raise SchemaDrift(
            f"{where}: row {first_row + bad} is {_show(values[bad])}, which can't be a {kind.arrow} without loss"
        ) from None


def _first_failing(values: pa.Array, attempt: Callable[[pa.Array], Any]) -> int:
    """The index of the first value on which `attempt` fails, by halving: a cast fails without saying where."""
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fails(values.slice(low, middle - low), attempt) else (middle, high)
    return low


def _fails(values: pa.Array, attempt: Callable[[pa.Array], Any]) -> bool:
    try:
        values.validate(full=True)
        attempt(values)
    except pa.ArrowInvalid:
        return True
    return False


def _first_true(flags: pa.Array) -> int | None:
    if not flags.true_count:
        return None
    index: int = pc.indices_nonzero(flags)[0].as_py()
    return index


def _show(value: pa.Scalar) -> str:
    """A value for a message: short, and safe for a terminal whatever bytes it holds."""
    if not _is_text(value.type):
        return str(value.cast(pa.string()))  # as_py would need pandas for nanoseconds, and fails beyond the year 9999
    try:
        return quoted(repr(value.as_py()))
    except UnicodeDecodeError:
        return f"not UTF-8: {value.as_buffer().to_pybytes()[:20]!r}"


def with_identity(month_day: dt.date, arrays: list[pa.Array], first_row: int, schema: pa.Schema) -> pa.RecordBatch:
    """Put ``source_month`` and ``row_number`` (from `first_row`) before a batch's conformed columns."""
    rows = len(arrays[0])
    identity = [
        pa.repeat(_constant(pa.date32(), "=i", (month_day - dt.date(1970, 1, 1)).days), rows),
        pa.arange(first_row, first_row + rows).cast(pa.int32()),
    ]
    return pa.RecordBatch.from_arrays([*identity, *arrays], schema=schema)
