"""Sample data: months of taxi trips with the shape and the traps of the publisher's files, invented from a seed.

    python -m core.lab.sample FOLDER MONTHS [--cab yellow] [--seed N] [--rows N]

A month's bytes depend on (cab, seed, month, rows) alone, and on the version of pyarrow that encodes them. To keep that on
every machine, numbers are drawn as integers from raw bits (numpy freezes that stream, not its distributions) and
computed in whole cents, seconds and hundredths of a mile; they become floating point in one division at the end.
pandas is not imported: arrays reach pyarrow as buffers, because `pyarrow.array` would import it (0.4 s).

Every month carries every trap of its era, so the demo's three months carry them too:

| rows that                     | what they break                                                                 |
|-------------------------------|---------------------------------------------------------------------------------|
| lie in the months beside      | deleting and appending by pickup month                                          |
| come from a reset clock       | the same, and tests of plausible dates: 2008-12-31, 2009-01-01, 2041-08-17      |
| are a charge and its reversal | keys of (vendor, pickup, dropoff, zones), and tests that fares are positive     |
| are exact duplicates          | any key of values, and comparing sets instead of multisets                      |
| end before they start         | durations                                                                       |
| hold NULL in six columns      | casts of nullable integers, which pandas gives as floats                        |
| hold odd codes                | tests of accepted values: VendorID 5 and 6, RatecodeID 99, payment_type 5       |
| have impossible distances     | averages                                                                        |
| hold `HARD_VALUES`            | digests, exact types, rounding; the publisher's files never do                  |

Yellow months are made of the same stuff under the yellow names, with a drift of their own: a fee that is spelt
`airport_fee` and then `Airport_fee`, and a NULL block in which `payment_type` is 0.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import UsageError
from core.month import Month, parse_months

Cab = Literal["green", "yellow"]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SEED = 2009
"""The seed of the demo."""

ROWS = 20_000
"""Rows of a month, give or take 5 %: a third of a real one, so that a step of the demo takes seconds and the rare rows
come at about the publisher's rate. Benchmarks ask for 60,000 (a real month) or a million."""

FEWEST_ROWS = 200
"""Below this a month of 2020, half of it NULLs, has no room for every trap."""

FIRST_MONTH, LAST_MONTH = Month(2020, 1), Month(2025, 12)
"""The eras that are known; the publisher's older files differ again."""

ZONES = "taxi_zone_lookup.csv"
"""The publisher's name for the zone lookup."""

NULL_BLOCK = (
    "store_and_fwd_flag", "RatecodeID", "passenger_count", "payment_type", "trip_type", "congestion_surcharge",
)  # fmt: skip
"""NULL together, in the last rows of each green file."""

YELLOW_NULL_BLOCK = ("passenger_count", "RatecodeID", "store_and_fwd_flag", "congestion_surcharge", "airport_fee")
"""The same in a yellow one; there `payment_type` is 0 in these rows."""

PARTS = ("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge",
         "congestion_surcharge", "cbd_congestion_fee")  # fmt: skip
"""The amounts that add up to `total_amount`; in a yellow month `airport_fee` is one more."""

HARD_VALUES: tuple[tuple[str, float], ...] = (
    ("fare_amount", float("nan")),
    ("total_amount", -float("nan")),  # the other sign bit: what 0/0 gives on x86
    ("trip_distance", float("nan")),
    ("tip_amount", -0.0),
    ("fare_amount", -0.0),
    ("trip_distance", -0.0),
    ("fare_amount", 2.675),  # stored a little below the half cent: 2.67 or 2.68, by the way it is rounded
    ("tip_amount", 0.125),  # exactly half a cent
    ("extra", -0.005),
    ("tolls_amount", 0.1 + 0.2),  # needs 17 digits to be told from 0.3
    ("total_amount", 1e-7),
    ("trip_distance", 1.23456),
)
"""What no real file holds, each on a row of its own."""

_VERSION = 2  # one more whenever the same seed gives other rows: files of an older version are then written anew
_STAMP = b"triptych.sample"


# ---------------------------------------------------------------- how the publisher writes, by era


@dataclass(frozen=True)
class Encoding:
    """How a file is written: Arrow `types` by column (double where none is named) and Parquet options."""

    types: dict[str, pa.DataType]
    codec: Literal["gzip", "snappy", "zstd"]
    version: Literal["1.0", "2.6"] = "2.6"
    pandas_metadata: bool = False
    row_group_rows: int | None = None


_PICKUP, _DROPOFF = "lpep_pickup_datetime", "lpep_dropoff_datetime"
_IDS = dict.fromkeys(("VendorID", "PULocationID", "DOLocationID"), pa.int32())
_COUNTS = dict.fromkeys(("RatecodeID", "passenger_count", "payment_type", "trip_type"), pa.int64())
_TIMES = dict.fromkeys((_PICKUP, _DROPOFF), pa.timestamp("us"))

LEGACY = Encoding(
    {**dict.fromkeys(_IDS, pa.int64()), **_TIMES, "store_and_fwd_flag": pa.string(), "ehail_fee": pa.null()},
    codec="gzip", version="1.0", pandas_metadata=True,
)  # fmt: skip
"""Until 2023-01: `ehail_fee` has no type, and integers that may be NULL are doubles."""

MODERN = Encoding({**_IDS, **_COUNTS, **_TIMES, "store_and_fwd_flag": pa.large_string()}, codec="zstd")
"""From 2023-02."""

RESAVED = Encoding(
    {**LEGACY.types, "VendorID": pa.float64(), "ehail_fee": pa.float64(), **dict.fromkeys(_TIMES, pa.timestamp("s"))},
    codec="snappy", row_group_rows=7_000,
)  # fmt: skip
"""Never the publisher's: what it becomes when someone reads it and saves it again. The same rows in other bytes."""


YELLOW_NAMES = {"tpep_pickup_datetime": _PICKUP, "tpep_dropoff_datetime": _DROPOFF, "Airport_fee": "airport_fee"}
"""Published yellow names that are others than those under which the rows are made."""

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
    """How the publisher writes `month`."""
    if cab == "yellow":
        return YELLOW_FIRST if month < Month(2021, 1) else YELLOW_LEGACY if month < Month(2023, 2) else YELLOW_MODERN
    return LEGACY if month < Month(2023, 2) else MODERN


def columns_of(month: Month, cab: Cab = "green") -> tuple[str, ...]:
    """The published columns of `month`, in the file's order."""
    if cab == "yellow":
        return _yellow_columns_of(month)
    columns = (
        "VendorID", _PICKUP, _DROPOFF, "store_and_fwd_flag", "RatecodeID", "PULocationID", "DOLocationID",
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
    """The publisher's name for the file of `month`."""
    return f"{cab}_tripdata_{month}.parquet"


# ---------------------------------------------------------------- rows


class _Dice:
    """The random integers of one month."""

    def __init__(self, seed: int, month: Month, cab: Cab) -> None:
        self._bits = np.random.PCG64([seed, month.year, month.number, *([1] if cab == "yellow" else [])])

    def ranges(self, count: int, *choices: tuple[int, int, int]) -> Integers:
        """Draw `count` integers from (weight, lowest, highest) choices, uniform within a choice, ends included."""
        weights, low, high = np.array(choices, dtype=np.uint64).T
        bits: npt.NDArray[np.uint64] = self._bits.random_raw(count)
        upper, lower = bits >> np.uint64(32), bits & np.uint64(0xFFFF_FFFF)
        chosen = np.searchsorted(np.cumsum(weights), (upper * weights.sum()) >> np.uint64(32), side="right")
        within = (lower * (high - low + np.uint64(1))[chosen]) >> np.uint64(32)
        drawn: Integers = (low[chosen] + within).astype(np.int64)
        return drawn

    def codes(self, count: int, weights: dict[int, int]) -> Integers:
        """Draw `count` of the keys, each as often as its weight says."""
        return self.ranges(count, *((weight, code, code) for code, weight in weights.items()))

    def shuffled(self, count: int) -> Integers:
        """The integers below `count` in random order."""
        return np.argsort(self._bits.random_raw(count), kind="stable").astype(np.int64)


class _Rows:
    """The rows of one month while they are made: integers by published name, and where they are NULL."""

    def __init__(self, month: Month, seed: int, rows: int, cab: Cab) -> None:
        self.month = month
        self.dice = _Dice(seed, month, cab)
        block = {2020: (210, 450), 2021: (120, 400)}.get(month.year, (30, 120))
        jitter, nulls = int(self.dice.ranges(1, (1, 950, 1_050))[0]), int(self.dice.ranges(1, (1, *block))[0])
        self.count = rows * jitter // 1_000
        self.body = self.count - self.count * nulls // 1_000
        self.columns: dict[str, Integers] = {}
        self.nulls: dict[str, Mask] = {}
        self._pairs = 2 * self.dice.shuffled(self.body // 2)

    def take(self, count: int) -> Integers:
        """`count` rows before the NULL block that no trap has taken yet, nor the row after each of them."""
        taken, self._pairs = self._pairs[:count], self._pairs[count:]
        assert len(taken) == (count if self.count else 0), f"{self.month}: {self.count} rows have no room for the traps"
        return taken


def _draw_trips(rows: _Rows) -> None:
    """Fill the columns with what an unremarkable trip holds, at the publisher's frequencies of 2024."""
    n, dice, columns = rows.count, rows.dice, rows.columns
    columns["VendorID"] = dice.codes(n, {1: 13, 2: 87})
    columns[_PICKUP] = _draw_pickups(rows)
    seconds = dice.ranges(
        n, (20, 1, 60), (80, 60, 280), (400, 280, 740), (400, 740, 1_700), (95, 1_700, 4_200), (5, 80_000, 86_399)
    )
    columns[_DROPOFF] = columns[_PICKUP] + seconds
    columns["store_and_fwd_flag"] = dice.codes(n, {ord("N"): 996, ord("Y"): 4})
    columns["RatecodeID"] = dice.codes(n, {1: 9_490, 2: 26, 3: 7, 4: 14, 5: 460, 6: 3})
    favourites = {74: 150, 75: 110, 166: 45, 95: 40, 41: 40, 43: 40}
    for end in ("PULocationID", "DOLocationID"):
        columns[end] = dice.ranges(n, *((w, z, z) for z, w in favourites.items()), (570, 1, 263), (5, 264, 265))
    columns["passenger_count"] = dice.codes(n, {0: 11, 1: 825, 2: 100, 3: 10, 4: 5, 5: 28, 6: 19, 7: 1, 8: 1})
    columns["trip_distance"] = dice.ranges(n, (4, 0, 0), (10, 1, 60), (40, 60, 190), (35, 190, 640), (11, 640, 3_000))
    columns["payment_type"] = dice.codes(n, {1: 730, 2: 260, 3: 7, 4: 3})
    columns["trip_type"] = np.where(columns["RatecodeID"] == 5, 2, 1)
    _draw_amounts(rows, seconds)


def _draw_pickups(rows: _Rows) -> Integers:
    """Seconds since 1970. A file goes by day, in no order within a day, and starts over where the NULL block begins."""
    first, days = _epoch(rows.month), (_epoch(rows.month.next()) - _epoch(rows.month)) // 86_400
    day = rows.dice.ranges(rows.count, (1, 0, days - 1))
    day = np.concatenate([np.sort(day[: rows.body]), np.sort(day[rows.body :])])
    hour = rows.dice.ranges(rows.count, (12, 0, 6), (14, 7, 9), (30, 10, 15), (34, 16, 19), (10, 20, 23))
    return first + day * 86_400 + hour * 3_600 + rows.dice.ranges(rows.count, (1, 0, 3_599))


def _epoch(month: Month) -> int:
    return _seconds(f"{month}-01")


def _seconds(moment: str) -> int:
    return int(np.datetime64(moment, "s").astype(np.int64))


def _draw_amounts(rows: _Rows, seconds: Integers) -> None:
    """Cents. They add up to the total, as in five of six of the publisher's rows."""
    n, dice, columns = rows.count, rows.dice, rows.columns
    metered = 300 + columns["trip_distance"] * 7 // 4 + np.minimum(seconds, 5_000) * 7 // 10
    columns["fare_amount"] = metered // 10 * 10
    columns["extra"] = dice.codes(n, {0: 575, 100: 165, 250: 200, 275: 20, 500: 20, 750: 20})
    columns["mta_tax"] = dice.codes(n, {0: 50, 50: 830, 150: 120})
    by_card = columns["payment_type"] == 1
    columns["tip_amount"] = columns["fare_amount"] * dice.ranges(n, (25, 0, 0), (75, 10, 30)) // 100 * by_card
    columns["tolls_amount"] = dice.codes(n, {0: 980, 655: 10, 694: 10})
    columns["improvement_surcharge"] = dice.codes(n, {0: 1, 30: 2, 100: 97})
    columns["congestion_surcharge"] = dice.codes(n, {0: 700, 250: 3, 275: 297})
    columns["cbd_congestion_fee"] = dice.codes(n, {0: 92, 75: 8}) * (rows.month >= Month(2025, 1))
    columns["total_amount"] = np.sum([columns[part] for part in PARTS], axis=0)


def _set_codes(rows: _Rows) -> None:
    """Codes and distances that no list of valid ones foresees."""
    columns = rows.columns
    columns["VendorID"][rows.take(2)] = 5
    columns["RatecodeID"][rows.take(2)] = 99
    columns["payment_type"][rows.take(2)] = 5
    columns["passenger_count"][rows.take(1)] = 9
    far = rows.take(3)
    columns["trip_distance"][far] = rows.dice.ranges(len(far), (1, 4_000_000, 18_000_000))
    columns["trip_distance"][rows.take(1)] = 25_977_700
    if rows.month >= Month(2025, 2):  # a third of the NULL block is of the new vendor
        columns["VendorID"][rows.body :][rows.dice.codes(rows.count - rows.body, {0: 2, 1: 1}) == 1] = 6


def _set_nulls(rows: _Rows) -> None:
    block = np.arange(rows.count) >= rows.body
    rows.nulls = {name: block.copy() for name in NULL_BLOCK}
    rows.nulls["trip_type"][rows.take(3 + rows.count // 8_000)] = True
    # The publisher's rule changes by the month: all of the block, those of it that are not vendor 6, none.
    rule = (block, block & (rows.columns["VendorID"] != 6), block & False)
    rows.nulls["cbd_congestion_fee"] = rule[(rows.month.number - 1) % 3]


def _draw_airport_fee(rows: _Rows) -> None:
    since = rows.month >= Month(2021, 1)
    fee = rows.dice.codes(rows.count, {0: 915, 125: 30, 175: 55}) * since
    rows.columns["airport_fee"] = fee
    rows.columns["total_amount"] += fee


def _set_yellow_nulls(rows: _Rows) -> None:
    block = np.arange(rows.count) >= rows.body
    rows.nulls = {name: block.copy() for name in YELLOW_NULL_BLOCK}
    rows.columns["payment_type"][block] = 0


def _set_clocks(rows: _Rows) -> None:
    """Move some trips to other months and years, and let some end before they start."""
    pickup, dropoff = rows.columns[_PICKUP], rows.columns[_DROPOFF]
    first, end = _epoch(rows.month), _epoch(rows.month.next())
    moments = [end + 600 * i for i in range(8)] + [first - 600 * i for i in range(1, 5)]
    moments += [_seconds("2008-12-31T23:02:19"), _seconds("2009-01-01T00:14:48"), _seconds("2041-08-17T16:24:00")]
    moved = rows.take(len(moments))
    shift = np.array(moments)[: len(moved)] - pickup[moved]
    pickup[moved] += shift
    dropoff[moved] += shift
    backwards = np.concatenate([rows.take(3), np.flatnonzero(rows.columns["VendorID"] == 6)[::4]])
    dropoff[backwards] = pickup[backwards] - rows.dice.ranges(len(backwards), (9, 1, 60), (1, 61, 446))


def _set_repeats(rows: _Rows) -> None:
    """A reversal stands before its charge, as the publisher's do; a duplicate after its original."""
    reversals, originals = rows.take(3 + rows.count // 400), rows.take(5)
    rows.columns["VendorID"][reversals + 1] = 2
    for values in (*rows.columns.values(), *rows.nulls.values()):
        values[reversals] = values[reversals + 1]
        values[originals + 1] = values[originals]
    for name in _AMOUNTS & set(rows.columns):
        rows.columns[name][reversals] *= -1


_AMOUNTS = {*PARTS, "total_amount", "airport_fee"}
_STEPS: dict[Cab, tuple[Callable[[_Rows], None], ...]] = {
    "green": (_draw_trips, _set_codes, _set_nulls, _set_clocks, _set_repeats),
    "yellow": (_draw_trips, _draw_airport_fee, _set_codes, _set_yellow_nulls, _set_clocks, _set_repeats),
}


# ---------------------------------------------------------------- columns and files


def table(
    month: Month, seed: int = SEED, rows: int = ROWS, encoding: Encoding | None = None, cab: Cab = "green"
) -> pa.Table:
    """The rows of `month`, typed as the publisher types them in that era, or as `encoding` says.

    Raise `UsageError` when the month is outside 2020-2025, the seed negative, or `rows` below `FEWEST_ROWS`.
    """
    if not FIRST_MONTH <= month <= LAST_MONTH:
        raise UsageError(f"there is no sample data for {month}: name months in {FIRST_MONTH}..{LAST_MONTH}")
    if seed < 0 or rows < FEWEST_ROWS:
        raise UsageError(f"seed {seed}, {rows} rows: sample data takes a seed from 0 and rows from {FEWEST_ROWS}")
    made = _Rows(month, seed, rows, cab)
    for step in _STEPS[cab]:
        step(made)
    types, hard = (encoding or encoding_of(month, cab)).types, made.take(len(HARD_VALUES))
    names = columns_of(month, cab)
    return pa.table({name: _column(made, name, types.get(name, pa.float64()), hard) for name in names})


def _column(rows: _Rows, published: str, kind: pa.DataType, hard: Integers) -> pa.Array[Any]:
    name = YELLOW_NAMES.get(published, published)
    if name == "ehail_fee" or kind == pa.null():  # NULL in every row ever published, and before anybody paid it
        return pa.nulls(rows.count).cast(kind)
    values, null = rows.columns[name], rows.nulls.get(name)
    valid = None if null is None else _buffer(np.packbits(~null, bitorder="little"))
    if name == "store_and_fwd_flag":
        letters = [_buffer(np.arange(rows.count + 1, dtype=np.int32)), _buffer(values.astype(np.uint8))]
        return pa.Array.from_buffers(pa.string(), rows.count, [valid, *letters]).cast(kind)
    if name in _AMOUNTS or name == "trip_distance":
        amounts = _with_hard_values(name, values / 100.0, hard)
        return pa.Array.from_buffers(pa.float64(), rows.count, [valid, _buffer(amounts)])
    plain = pa.timestamp("s") if name in _TIMES else pa.int64()
    return pa.Array.from_buffers(plain, rows.count, [valid, _buffer(values)]).cast(kind)


def _buffer(values: npt.NDArray[Any]) -> pa.Buffer:
    return pa.py_buffer(values.data)


def _with_hard_values(name: str, values: npt.NDArray[np.float64], hard: Integers) -> npt.NDArray[np.float64]:
    for (column, value), row in zip(HARD_VALUES, hard, strict=True):
        if column == name:
            values[row] = value
    return values


def write_month(
    path: Path, month: Month, seed: int = SEED, rows: int = ROWS, encoding: Encoding | None = None, cab: Cab = "green"
) -> int:
    """Write the file of `month` as `path`, whole or not at all; give its number of rows. Errors as in `table`."""
    encoding = encoding or encoding_of(month, cab)
    data = table(month, seed, rows, encoding, cab)
    metadata = {_STAMP: _stamp(month, seed, rows, encoding, cab)}
    if encoding.pandas_metadata:
        metadata[b"pandas"] = _pandas_metadata(data.schema)
    with _renamed(path) as temporary:
        pq.write_table(
            data.replace_schema_metadata(metadata), temporary, compression=encoding.codec, version=encoding.version,
            row_group_size=encoding.row_group_rows,  # None: one row group up to a million rows, as the publisher's
        )  # fmt: skip
    return int(data.num_rows)


def _stamp(month: Month, seed: int, rows: int, encoding: Encoding, cab: Cab) -> bytes:
    stamp = f"version={_VERSION} month={month} seed={seed} rows={rows} codec={encoding.codec}"
    return (stamp if cab == "green" else f"{stamp} cab={cab}").encode()  # green ones came first, and keep their bytes


def _pandas_metadata(schema: pa.Schema) -> bytes:
    """What pandas leaves in a file: the publisher's older ones have it."""
    special = {
        "timestamp[us]": ("datetime", "datetime64[ns]"), "string": ("unicode", "object"), "null": ("empty", "object"),
        "double": ("float64", "float64"),
    }  # fmt: skip
    columns = []
    for name, kind in zip(schema.names, map(str, schema.types), strict=True):
        logical, physical = special.get(kind, (kind, kind))
        columns.append({"name": name, "field_name": name, "pandas_type": logical, "numpy_type": physical})
    return json.dumps({"index_columns": [], "column_indexes": [], "columns": columns}).encode()


def write_zones(path: Path) -> None:
    """Write the zone lookup as `path`: 265 zones with invented names, and the publisher's quotes and line ends."""
    with _renamed(path) as temporary, temporary.open("w", newline="") as out:
        lines = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\r\n")
        lines.writerow(("LocationID", "Borough", "Zone", "service_zone"))
        lines.writerows(_zones())


def _zones() -> Iterator[tuple[int, str, str, str]]:
    yield 1, "EWR", "Airport West", "EWR"
    last = {"Queens": 70, "Manhattan": 139, "Brooklyn": 200, "Bronx": 243, "Staten Island": 263}
    for zone in range(2, 264):
        borough = next(name for name, end in last.items() if zone <= end)
        # Neither names nor (borough, name) are unique in the publisher's list; commas and quotes are only here.
        special = {57: "Queens Square 56", 105: 'Piers, "Old" and New', 138: "Governor's Landing/Ferry"}
        service = "Airports" if zone in (40, 60) else "Yellow Zone" if borough == "Manhattan" else "Boro Zone"
        yield zone, borough, special.get(zone, f"{borough} {('Park', 'Heights', 'Square')[zone % 3]} {zone}"), service
    yield 264, "Unknown", "N/A", "N/A"
    yield 265, "N/A", "Outside of NYC", "N/A"


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.*"):  # by one that was killed
        if left.suffix[1:].isdigit() and not psutil.pid_exists(int(left.suffix[1:])):
            left.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


Report = Callable[[Month, Path, bool, float], None]


def ensure(
    folder: Path, months: Iterable[Month], seed: int = SEED, rows: int = ROWS, report: Report = lambda *_: None,
    cab: Cab = "green",
) -> list[Path]:  # fmt: skip
    """Bring `folder` up to date: the zone lookup and the file of each month, written where missing or outdated.

    Give the months' paths in the order asked. `report` is called after each month with (month, path, whether it was
    written, seconds). A file is outdated when it was not written by this version with this seed and these rows.
    Errors as in `table`; some months may then be there already.
    """
    if not (folder / ZONES).exists():
        write_zones(folder / ZONES)
    paths = []
    for month in months:
        path, start = folder / file_name(month, cab), time.monotonic()
        missing = not _is_current(path, _stamp(month, seed, rows, encoding_of(month, cab), cab))
        if missing:
            write_month(path, month, seed, rows, cab=cab)
        report(month, path, missing, time.monotonic() - start)
        paths.append(path)
    return paths


def _is_current(path: Path, stamp: bytes) -> bool:
    try:
        return (pq.read_schema(path).metadata or {}).get(_STAMP) == stamp
    except (FileNotFoundError, pa.ArrowInvalid):
        return False


def main(argv: list[str] | None = None) -> int:
    """The command line. Exit code 0, or 2 on a wrong call."""
    parser = argparse.ArgumentParser(prog="core.lab.sample", description="Write sample months and the zone lookup.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("months", help="as in 2024-01..2024-03,2025-01")
    parser.add_argument("--cab", choices=_STEPS, default="green")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--rows", type=int, default=ROWS, help="of a month, give or take 5 %% (default %(default)s)")
    args = parser.parse_args(argv)
    try:
        ensure(args.folder, parse_months(args.months), args.seed, args.rows, _print, args.cab)
    except UsageError as error:
        print(f"core.lab.sample: {error}", file=sys.stderr)
        return 2
    return 0


def _print(month: Month, path: Path, written: bool, seconds: float) -> None:
    rows = pq.read_metadata(path).num_rows
    action = f"written in {seconds:.2f} s" if written else "kept"
    print(f"{month}  {rows:>9,} rows  {path.stat().st_size:>11,} bytes  {action}")


if __name__ == "__main__":
    sys.exit(main())
