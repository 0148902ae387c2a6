"""How the publisher writes its files, by era: column names and order, types, codecs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from core.errors import UsageError
from core.month import Month

Cab = Literal["green", "yellow"]

FIRST_MONTH, LAST_MONTH = Month(2020, 1), Month(2025, 12)
"""The eras that are known; the publisher's older files differ again."""

ZONES = "taxi_zone_lookup.csv"
"""The publisher's name for the zone lookup."""


def check_month(month: Month) -> None:
    """Raise `UsageError` when there is no sample data for `month`."""
    if not FIRST_MONTH <= month <= LAST_MONTH:
        raise UsageError(f"there is no sample data for {month}: name months in {FIRST_MONTH}..{LAST_MONTH}")


@dataclass(frozen=True)
class Encoding:
    """How a file is written: Arrow `types` by column (double where none is named) and Parquet options."""

    types: dict[str, pa.DataType]
    codec: Literal["gzip", "snappy", "zstd"]
    version: Literal["1.0", "2.6"] = "2.6"
    pandas_metadata: bool = False
    row_group_rows: int | None = None


PICKUP, DROPOFF = "lpep_pickup_datetime", "lpep_dropoff_datetime"
_IDS = dict.fromkeys(("VendorID", "PULocationID", "DOLocationID"), pa.int32())
_COUNTS = dict.fromkeys(("RatecodeID", "passenger_count", "payment_type", "trip_type"), pa.int64())
TIMES = dict.fromkeys((PICKUP, DROPOFF), pa.timestamp("us"))

LEGACY = Encoding(
    {**dict.fromkeys(_IDS, pa.int64()), **TIMES, "store_and_fwd_flag": pa.string(), "ehail_fee": pa.null()},
    codec="gzip", version="1.0", pandas_metadata=True,
)  # fmt: skip
"""Until 2023-01: `ehail_fee` has no type, and integers that may be NULL are doubles."""

MODERN = Encoding({**_IDS, **_COUNTS, **TIMES, "store_and_fwd_flag": pa.large_string()}, codec="zstd")
"""From 2023-02."""

RESAVED = Encoding(
    {**LEGACY.types, "VendorID": pa.float64(), "ehail_fee": pa.float64(), **dict.fromkeys(TIMES, pa.timestamp("s"))},
    codec="snappy", row_group_rows=7_000,
)  # fmt: skip
"""Never the publisher's: a file that somebody read and saved again. It holds the same rows in other bytes."""


YELLOW_NAMES = {"tpep_pickup_datetime": PICKUP, "tpep_dropoff_datetime": DROPOFF, "Airport_fee": "airport_fee"}
"""The yellow columns whose published name differs from the one under which the rows are drawn."""

_YELLOW_TIMES = dict.fromkeys(tuple(YELLOW_NAMES)[:2], pa.timestamp("us"))

YELLOW_LEGACY = Encoding(
    {**dict.fromkeys(_IDS, pa.int64()), **_YELLOW_TIMES, "payment_type": pa.int64(), "store_and_fwd_flag": pa.string()},
    codec="gzip", version="1.0", pandas_metadata=True,
)  # fmt: skip
"""Until 2023-01. The codes that are never NULL are integers, here `payment_type` too."""

YELLOW_FIRST = Encoding(
    {**YELLOW_LEGACY.types, "airport_fee": pa.null()}, codec="gzip", version="1.0", pandas_metadata=True
)
"""Until 2020-12: `airport_fee` has no type, because nobody has paid it yet."""

YELLOW_MODERN = Encoding(
    {**_IDS, **_COUNTS, **_YELLOW_TIMES, "store_and_fwd_flag": pa.large_string()}, codec="zstd"
)  # fmt: skip
"""From 2023-02, when `airport_fee` became `Airport_fee`."""


def encoding_of(month: Month, cab: Cab = "green") -> Encoding:
    """Return how the publisher writes `month`."""
    if cab == "yellow":
        return YELLOW_FIRST if month < Month(2021, 1) else YELLOW_LEGACY if month < Month(2023, 2) else YELLOW_MODERN
    return LEGACY if month < Month(2023, 2) else MODERN


def columns_of(month: Month, cab: Cab = "green") -> tuple[str, ...]:
    """Return the published columns of `month`, in the file's order."""
    if cab == "yellow":
        return _yellow_columns_of(month)
    columns = (
        "VendorID", PICKUP, DROPOFF, "store_and_fwd_flag", "RatecodeID", "PULocationID", "DOLocationID",
        "passenger_count", "trip_distance", "fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount",
        "ehail_fee", "improvement_surcharge", "total_amount", "payment_type", "trip_type", "congestion_surcharge",
        "cbd_congestion_fee",
    )  # fmt: skip
    return columns if month >= Month(2025, 1) else columns[:-1]


def _yellow_columns_of(month: Month) -> tuple[str, ...]:
    fee = "airport_fee" if month < Month(2023, 2) else "Airport_fee"
    columns = (
        "VendorID", "tpep_pickup_datetime", "tpep_dropoff_datetime", "passenger_count", "trip_distance", "RatecodeID",
        "store_and_fwd_flag", "PULocationID", "DOLocationID", "payment_type", "fare_amount", "extra", "mta_tax",
        "tip_amount", "tolls_amount", "improvement_surcharge", "total_amount", "congestion_surcharge", fee,
        "cbd_congestion_fee",
    )  # fmt: skip
    return columns if month >= Month(2025, 1) else columns[:-1]


def file_name(month: Month, cab: Cab = "green") -> str:
    """Return the publisher's name for the file of `month`."""
    return f"{cab}_tripdata_{month}.parquet"
