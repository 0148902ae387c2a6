"""What a published file holds, declared once per dataset, and how each file is brought to it.

Binary COPY carries no types: a double written into a bigint column lands as garbage without an error, and the publisher
has changed types between months. So every file, whatever its encoding, is cast to one declared Arrow schema, and that
schema is asserted against the catalogue before each COPY (`core.load`).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
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
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind) or _is_text(kind))


def _is_double(kind: pa.DataType) -> bool:
    return _is_number(kind) and not _is_single(kind)


def _is_single(kind: pa.DataType) -> bool:
    return bool(pt.is_float32(kind) or pt.is_float16(kind))


def _is_timestamp(kind: pa.DataType) -> bool:
    return bool(pt.is_timestamp(kind) and kind.tz is None) or _is_text(kind)


def _constant(kind: pa.DataType, form: str, value: float) -> pa.Scalar:
    """A value as Arrow's, made of its bytes: from a Python value pyarrow would import pandas, where it is installed."""
    return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(struct.pack(form, value))])[0]


TEXT_BYTES = 256
"""The longest text that is loaded. The publisher's are one letter, or a zone's name of up to 45; a number or a moment as text
has 35. Without it, 11 KB with one long text that every row refers to become gigabytes."""

_EPOCH = dt.date(1970, 1, 1)
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
DOUBLE = Kind(pa.float64(), "double precision", _is_double, _out_of_range)
TIMESTAMP = Kind(pa.timestamp("us"), "timestamp without time zone", _is_timestamp, _out_of_calendar)
TEXT = Kind(pa.string(), "text", _is_text, _holds_nul)
DATE = Kind(pa.date32(), "date", pt.is_date)


@dataclass(frozen=True)
class Column:
    """A published column: its name in the file and in the table, its kind, and whether it may be NULL or absent.

    `also` are other spellings that the publisher has used for it; a file has one of them, in upper or lower case.
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
        for spelling in self.spellings:
            if spelling in names:
                return spelling
        lower = [spelling.lower() for spelling in self.spellings]
        return next((name for name in names if name.lower() in lower), None)


@dataclass(frozen=True)
class Dataset:
    """A published dataset.

    `paths` are where its file may be, relative to a source; ``{month}`` is replaced. `dated` is the column whose month most
    rows of a monthly file share with the file. `key` is unique in a lookup; the columns `used_as` of the table `used_in`
    refer to it.
    """

    name: str
    table: str
    columns: tuple[Column, ...]
    paths: tuple[str, ...]
    monthly: bool
    dated: str | None = None
    key: str | None = None
    used_in: str | None = None
    used_as: tuple[str, ...] = ()

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
    dated="pickup_datetime",
    paths=("green_tripdata_{month}.parquet", "green/green_tripdata_{month}.parquet"),
    columns=(
        Column("VendorID", "vendor_id", INTEGER),  # NULL in 2020 where the rest of its block is, as the CSVs had it
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
    dated="pickup_datetime",
    paths=("yellow_tripdata_{month}.parquet", "yellow/yellow_tripdata_{month}.parquet"),
    columns=(
        Column("VendorID", "vendor_id", INTEGER),
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
    used_in=GREEN.table,
    used_as=("pickup_location_id", "dropoff_location_id"),
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


def check_columns(dataset: Dataset, published: pa.Schema, file: str) -> list[str]:
    """Return the names of the columns to read: all of the file's, without the index that pandas says it has added.

    Raise `SchemaDrift` on unknown, doubled or missing required columns, and on a type that never conforms.
    """
    known = {spelling.lower(): column for column in dataset.columns for spelling in column.spellings}
    names: list[str] = published.names
    unknown = [name for name in published.names if name.lower() not in known]
    if unknown:
        index = _pandas_index(published)
        unknown = [name for name in unknown if name not in index]
        names = [name for name in names if name not in index or name.lower() in known]
    if unknown:
        raise SchemaDrift(_unknown(dataset, [*dict.fromkeys(unknown)], file))
    _check_once(known, names, file)
    missing = [column for column in dataset.columns if not column.nullable and column.spelling_in(names) is None]
    if missing:
        listed, are = _subject([repr(column.published) for column in missing])
        raise SchemaDrift(f"{file}: required {listed} {are} missing; fetch the file again from the publisher")
    _check_types({name: known[name.lower()].kind for name in names}, published, file)
    return names


def _pandas_index(published: pa.Schema) -> set[str]:
    """The columns of which the file's own metadata says that they are a pandas frame's index."""
    try:
        said = json.loads((published.metadata or {}).get(b"pandas", b""))["index_columns"]
        return {name for name in said if isinstance(name, str)}
    except (ValueError, TypeError, KeyError, RecursionError):
        return set()  # not written by pandas, or damaged: then nothing is left out


_LETTERS = 280
"""As much of a line as a list of columns may take: all of those that a re-save has added or renamed so far."""


def _unknown(dataset: Dataset, names: Sequence[str], file: str) -> str:
    """What is wrong with columns that no declared one matches, and what to do about each kind of them."""
    meant = {_plain(text): c.published for c in dataset.columns for text in (c.name, *c.spellings)}
    expected = [meant.get(_plain(name)) for name in names]
    is_index = [name.startswith(("Unnamed:", "__index_level_")) for name in names]
    shown = [
        quoted(repr(name)) + (f" (expected: {other!r})" if other else "")
        for name, other in zip(names, expected, strict=True)
    ]
    todo = {
        "rename to what is expected": any(expected),
        "write the file with index=False": any(is_index),
        "write the file without what was added; if the publisher added it, update Triptych": not all(
            other or index for other, index in zip(expected, is_index, strict=True)
        ),
    }
    listed, are = _subject(shown)
    declared = "one that" if are == "is" else "among those that"
    return f"{file}: {listed} {are} not {declared} {dataset.name} declares; {'; '.join(w for w, due in todo.items() if due)}"


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace(" ", "")


def _check_once(known: dict[str, Column], names: Sequence[str], file: str) -> None:
    spelled: dict[str, str] = {}
    for name in names:
        column = known[name.lower()].name
        other = spelled.get(column)
        spelled[column] = name
        if other == name:
            raise SchemaDrift(f"{file}: column {name!r} is there twice; fetch the file again from the publisher")
        if other is not None:
            raise SchemaDrift(
                f"{file}: columns {other!r} and {name!r} are the same one under two names, and a file has one of "
                "them; fetch it again from the publisher"
            )


def _subject(names: Sequence[str]) -> tuple[str, str]:
    """Columns as a sentence's subject, and its verb: "column 'a'", "is", or "columns 'a', 'b' and 2 more", "are"."""
    if len(names) == 1:
        return f"column {names[0]}", "is"
    fit = max(1, sum(letters <= _LETTERS for letters in itertools.accumulate(len(name) + 2 for name in names)))
    rest = names[fit:]
    if rest:
        return f"columns {', '.join(names[:fit])} and {len(rest)} more", "are"
    return f"columns {', '.join(names[:-1])} and {names[-1]}", "are"


def _check_types(kinds: dict[str, Kind], published: pa.Schema, file: str) -> None:
    faults: dict[str, list[str]] = {}
    for name, declared in kinds.items():
        if fault := _type_fault(declared, published.field(name).type):
            faults.setdefault(fault, []).append(name)
    for fault, names in faults.items():
        listed, are = _subject([*map(repr, names)])
        raise SchemaDrift(f"{file}: {listed} {are} {fault}")


def _type_fault(declared: Kind, kind: pa.DataType) -> str | None:
    """Why no column of that type conforms, and what to write instead; None when its values decide."""
    plain = kind.value_type if pt.is_dictionary(kind) else kind
    if pt.is_null(plain) or declared.accepts(plain):
        return None
    if pt.is_timestamp(plain) and plain.tz is not None:
        return (
            f"{quoted(plain)}: a time zone would shift every value; write local time without a zone (Spark: timestamp_ntz; "
            "ClickHouse: toString, because text like '2024-01-31 23:59:59' loads)"
        )
    if declared is DOUBLE and _is_single(plain):  # docs/decisions/0010
        return (
            f"{plain}: single precision can't hold cents (9.3 becomes 9.300000190734863); write double "
            "(pandas: .astype('float64').round(2))"
        )
    return f"{quoted(plain)}, which is never a {declared.arrow}; write it as {declared.arrow}"


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
    is_exact = kind is DOUBLE and pt.is_decimal(values.type)
    attempt = _double_of_decimal if is_exact else lambda part: part.cast(kind.arrow, safe=True)
    try:
        values.validate(full=True)
        return attempt(values)
    except pa.ArrowInvalid:
        bad = _first_failing(values, attempt)
        raise SchemaDrift(
            f"{where}: row {first_row + bad} is {_show(values[bad])}, which can't be a {kind.arrow} without loss"
            f"{'; round it to 15 digits' if is_exact else ''}"
        ) from None


def _double_of_decimal(values: pa.Array) -> pa.Array:
    """The doubles that are written as these decimals are; raise `ArrowInvalid` when one has more digits than that.

    Through text, in which both ways are exact: pyarrow 26 casts 13 % of all amounts to a neighbor of the nearest double.
    """
    doubles = values.cast(pa.string()).cast(pa.float64())
    if pc.not_equal(doubles.cast(pa.string()).cast(values.type), values).true_count:
        raise pa.ArrowInvalid("more digits than a double has")
    return doubles


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


def moment(day: dt.date) -> pa.Scalar:
    """The first instant of `day`, as Arrow's."""
    return _constant(pa.timestamp("us"), "=q", (day - _EPOCH).days * 86_400_000_000)


def with_identity(month_day: dt.date, arrays: list[pa.Array], first_row: int, schema: pa.Schema) -> pa.RecordBatch:
    """Put ``source_month`` and ``row_number`` (from `first_row`) before a batch's conformed columns."""
    rows = len(arrays[0])
    identity = [
        pa.repeat(_constant(pa.date32(), "=i", (month_day - _EPOCH).days), rows),
        pa.arange(first_row, first_row + rows).cast(pa.int32()),
    ]
    return pa.RecordBatch.from_arrays([*identity, *arrays], schema=schema)
