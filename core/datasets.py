"""What each published file holds, declared once per dataset.

Binary COPY carries no types: a double written into a bigint column arrives as garbage, without an error, and the
publisher has changed types between months. So `core.load.casting` casts every file, whatever its encoding, to one
declared Arrow schema, and `core.load` compares that schema with the catalog before each COPY.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from core.errors import UsageError

# Arrow is imported where a type is needed: DAG files and the command line read the datasets' names here, and need none.
if TYPE_CHECKING:
    import pyarrow as pa


# eq=False: kinds are keys of dictionaries, and hashing by identity costs nothing for each batch.
@dataclass(frozen=True, eq=False)
class Kind:
    """A column's type on both sides, each by its name. `core.load` says which published types and values become one."""

    alias: str
    postgres: str

    @cached_property
    def arrow(self) -> pa.DataType:
        """The Arrow type."""
        import pyarrow as pa

        return pa.type_for_alias(self.alias)


INTEGER = Kind("int32", "integer")
DOUBLE = Kind("float64", "double precision")
TIMESTAMP = Kind("timestamp[us]", "timestamp without time zone")
TEXT = Kind("string", "text")
DATE = Kind("date32", "date")


@dataclass(frozen=True)
class Column:
    """A published column: its name in the file and in the table, its kind, and whether it may be NULL or absent.

    `also` holds other spellings that the publisher has used. A file has one spelling, in upper or lower case.
    """

    published: str
    name: str
    kind: Kind
    nullable: bool = True
    also: tuple[str, ...] = ()

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every name that the column has had in a file."""
        return (self.published, *self.also)

    def spelling_in(self, names: Sequence[str]) -> str | None:
        """Return the one of `names` that is this column, or None when the file does not have it."""
        for spelling in self.spellings:
            if spelling in names:
                return spelling
        lower = [spelling.lower() for spelling in self.spellings]
        return next((name for name in names if name.lower() in lower), None)


@dataclass(frozen=True)
class Dataset:
    """A published dataset.

    All monthly datasets have a table of the same name, each in schemas of its own (docs/decisions/0017). `paths` are
    the places where its file may be, relative to a source; ``{month}`` is replaced. `dated` is the column whose month
    is the file's month in most rows of a monthly file. `key` is unique in a lookup; the columns `used_as` of the table
    `used_in` refer to it.
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
        """The table's columns in order: a monthly table begins with the partition and the row's number in the file."""
        return (*_IDENTITY, *self.columns) if self.monthly else self.columns

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema that every batch has on its way into COPY."""
        import pyarrow as pa

        return pa.schema([pa.field(column.name, column.kind.arrow, column.nullable) for column in self.table_columns])

    @property
    def declaration(self) -> str:
        """An identifier of this declaration: the same bytes under another declaration are not the same rows."""
        # A column with one spelling contributes what it did before `also` existed, so that loaded months stay
        # unchanged.
        parts = [(c.published, c.name, c.kind.postgres, c.nullable, *c.also) for c in self.table_columns]
        return hashlib.sha256(repr((self.table, parts)).encode()).hexdigest()[:16]


# There is no natural key: a charge and its reversal repeat (vendor, times, places). The row's number in the file is a
# key.
_IDENTITY = (Column("", "source_month", DATE, nullable=False), Column("", "row_number", INTEGER, nullable=False))

TRIPS = "raw_trips"
"""The table of every monthly dataset: the models, the orchestrators and the readers know it by this name."""

GREEN = Dataset(
    name="green",
    table=TRIPS,
    monthly=True,
    dated="pickup_datetime",
    paths=("green_tripdata_{month}.parquet", "green/green_tripdata_{month}.parquet"),
    columns=(
        # NULL in 2020 wherever the other columns of its block are NULL, as in the CSV files
        Column("VendorID", "vendor_id", INTEGER),
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
    table=TRIPS,
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
        # "Airport_fee" since 2023-02
        Column("airport_fee", "airport_fee", DOUBLE, also=("Airport_fee",)),
        # since 2025-01
        Column("cbd_congestion_fee", "cbd_congestion_fee", DOUBLE),
    ),
)

ZONES = Dataset(
    name="zones",
    table="raw_zones",
    monthly=False,
    # The publisher keeps the lookup next to the folder of the trips, not in it.
    paths=("taxi_zone_lookup.csv", "../taxi_zone_lookup.csv", "../misc/taxi_zone_lookup.csv"),
    key="location_id",
    used_in=TRIPS,
    used_as=("pickup_location_id", "dropoff_location_id"),
    columns=(
        Column("LocationID", "location_id", INTEGER, nullable=False),
        Column("Borough", "borough", TEXT),
        Column("Zone", "zone", TEXT),
        Column("service_zone", "service_zone", TEXT),
    ),
)


DATASETS = {dataset.name: dataset for dataset in (GREEN, YELLOW, ZONES)}
"""Every dataset by name. A new monthly one is a declaration here, and its models in dbt/models/<name>."""


def monthly() -> tuple[str, ...]:
    """Return the names of the monthly datasets: a run loads one of them, and a schema holds one."""
    return tuple(name for name, each in DATASETS.items() if each.monthly)


def dataset(name: str, *, monthly: bool) -> Dataset:
    """Return the dataset called `name`; raise `UsageError` when there is none, or when `monthly` does not fit it."""
    if name not in DATASETS:
        raise UsageError(f"{name!r} is not a dataset: choose one of {', '.join(DATASETS)}")
    if DATASETS[name].monthly != monthly:
        how = "by the month: name one" if DATASETS[name].monthly else "whole: name no month"
        raise UsageError(f"{name} is loaded {how}")
    return DATASETS[name]
