"""The trips of a month, drawn from a seed, with every trap that the publisher's files hold.

To keep a month the same on every machine, numbers are drawn as integers from raw bits (numpy freezes that stream, not
its distributions), and computed in whole cents, seconds and hundredths of a mile.

Every month carries every trap of its era, so the demo's three months do too:

| rows that                     | what they break                                                                 |
|-------------------------------|---------------------------------------------------------------------------------|
| lie in adjacent months        | deleting and appending by pickup month                                          |
| come from a reset clock       | the same, and tests of plausible dates: 2008-12-31, 2009-01-01, 2041-08-17      |
| are a charge and its reversal | keys of (vendor, pickup, dropoff, zones), and tests that fares are positive     |
| are exact duplicates          | any key of values, and comparing sets instead of multisets                      |
| end before they start         | durations                                                                       |
| hold NULL in six columns      | casts of nullable integers, which pandas reads as floats                        |
| hold odd codes                | tests of accepted values: VendorID 5 and 6, RatecodeID 99, payment_type 5       |
| have impossible distances     | averages                                                                        |
| hold `HARD_VALUES`            | digests, exact types, rounding; the publisher's files never do                  |

Yellow months are made of the same trips under the yellow names, with a drift of their own: a fee that is spelt
`airport_fee` and then `Airport_fee`, and a NULL block in which `payment_type` is 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from core.extract.sample.published import DROPOFF, PICKUP, Cab
from core.month import Month

Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

SEED = 2009
"""The seed of the demo."""

ROWS = 20_000
"""Rows of a month, give or take 5 %: a third of a real one, so that a step of the demo takes seconds and the rare rows
come at about the publisher's rate. Benchmarks ask for 60,000 (a real month) or a million."""

FEWEST_ROWS = 200
"""Below this a month of 2020, half of it NULLs, has no room for every trap."""

NULL_BLOCK = (
    "store_and_fwd_flag", "RatecodeID", "passenger_count", "payment_type", "trip_type", "congestion_surcharge",
)  # fmt: skip
"""The columns that are NULL together, in the last rows of each green file."""

YELLOW_NULL_BLOCK = ("passenger_count", "RatecodeID", "store_and_fwd_flag", "congestion_surcharge", "airport_fee")
"""The same in a yellow file; in these rows its `payment_type` is 0."""

PARTS = ("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge",
         "congestion_surcharge", "cbd_congestion_fee")  # fmt: skip
"""The amounts that add up to `total_amount`; in a yellow month `airport_fee` is one more."""

HARD_VALUES: tuple[tuple[str, float], ...] = (
    ("fare_amount", float("nan")),
    # The other sign bit: the result of 0/0 on x86.
    ("total_amount", -float("nan")),
    ("trip_distance", float("nan")),
    ("tip_amount", -0.0),
    ("fare_amount", -0.0),
    ("trip_distance", -0.0),
    # Stored a little below the half cent: 2.67 or 2.68, depending on how it is rounded.
    ("fare_amount", 2.675),
    # Exactly half a cent.
    ("tip_amount", 0.125),
    ("extra", -0.005),
    # Needs 17 digits to be distinguished from 0.3.
    ("tolls_amount", 0.1 + 0.2),
    ("total_amount", 1e-7),
    ("trip_distance", 1.23456),
)
"""Values that no real file holds, each on a row of its own."""


class Dice:
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
        """Return the integers below `count` in random order."""
        return np.argsort(self._bits.random_raw(count), kind="stable").astype(np.int64)


class Rows:
    """The rows of one month while they are drawn: integers by published name, and where they are NULL."""

    def __init__(self, month: Month, seed: int, rows: int, cab: Cab) -> None:
        self.month = month
        self.dice = Dice(seed, month, cab)
        block = {2020: (210, 450), 2021: (120, 400)}.get(month.year, (30, 120))
        jitter, nulls = int(self.dice.ranges(1, (1, 950, 1_050))[0]), int(self.dice.ranges(1, (1, *block))[0])
        self.count = rows * jitter // 1_000
        self.body = self.count - self.count * nulls // 1_000
        self.columns: dict[str, Integers] = {}
        self.nulls: dict[str, Mask] = {}
        self._pairs = 2 * self.dice.shuffled(self.body // 2)

    def take(self, count: int) -> Integers:
        """Return `count` rows before the NULL block that no trap has taken yet, nor the row after each of them."""
        taken, self._pairs = self._pairs[:count], self._pairs[count:]
        assert len(taken) == (count if self.count else 0), f"{self.month}: {self.count} rows have no room for the traps"
        return taken


def _draw_trips(rows: Rows) -> None:
    """Fill the columns with what an unremarkable trip holds, at the publisher's frequencies of 2024."""
    n, dice, columns = rows.count, rows.dice, rows.columns
    columns["VendorID"] = dice.codes(n, {1: 13, 2: 87})
    columns[PICKUP] = _draw_pickups(rows)
    seconds = dice.ranges(
        n, (20, 1, 60), (80, 60, 280), (400, 280, 740), (400, 740, 1_700), (95, 1_700, 4_200), (5, 80_000, 86_399)
    )
    columns[DROPOFF] = columns[PICKUP] + seconds
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


def _draw_pickups(rows: Rows) -> Integers:
    """Return seconds since 1970. A file is ordered by day, not within it, and starts over with the NULL block."""
    first, days = _epoch(rows.month), (_epoch(rows.month.next()) - _epoch(rows.month)) // 86_400
    day = rows.dice.ranges(rows.count, (1, 0, days - 1))
    day = np.concatenate([np.sort(day[: rows.body]), np.sort(day[rows.body :])])
    hour = rows.dice.ranges(rows.count, (12, 0, 6), (14, 7, 9), (30, 10, 15), (34, 16, 19), (10, 20, 23))
    return first + day * 86_400 + hour * 3_600 + rows.dice.ranges(rows.count, (1, 0, 3_599))


def _epoch(month: Month) -> int:
    return _seconds(f"{month}-01")


def _seconds(moment: str) -> int:
    return int(np.datetime64(moment, "s").astype(np.int64))


def _draw_amounts(rows: Rows, seconds: Integers) -> None:
    """Draw amounts in cents. They add up to the total, as in five of six of the publisher's rows."""
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


def _set_codes(rows: Rows) -> None:
    """Set codes and distances that no list of valid values foresees."""
    columns = rows.columns
    columns["VendorID"][rows.take(2)] = 5
    columns["RatecodeID"][rows.take(2)] = 99
    columns["payment_type"][rows.take(2)] = 5
    columns["passenger_count"][rows.take(1)] = 9
    far = rows.take(3)
    columns["trip_distance"][far] = rows.dice.ranges(len(far), (1, 4_000_000, 18_000_000))
    columns["trip_distance"][rows.take(1)] = 25_977_700
    # A third of the NULL block belongs to the new vendor.
    if rows.month >= Month(2025, 2):
        columns["VendorID"][rows.body :][rows.dice.codes(rows.count - rows.body, {0: 2, 1: 1}) == 1] = 6


def _set_nulls(rows: Rows) -> None:
    block = np.arange(rows.count) >= rows.body
    rows.nulls = {name: block.copy() for name in NULL_BLOCK}
    rows.nulls["trip_type"][rows.take(3 + rows.count // 8_000)] = True
    # The publisher's rule changes by month: all of the block, its rows that are not of vendor 6, or none.
    rule = (block, block & (rows.columns["VendorID"] != 6), block & False)
    rows.nulls["cbd_congestion_fee"] = rule[(rows.month.number - 1) % 3]


def _draw_airport_fee(rows: Rows) -> None:
    since = rows.month >= Month(2021, 1)
    fee = rows.dice.codes(rows.count, {0: 915, 125: 30, 175: 55}) * since
    rows.columns["airport_fee"] = fee
    rows.columns["total_amount"] += fee


def _set_yellow_nulls(rows: Rows) -> None:
    block = np.arange(rows.count) >= rows.body
    rows.nulls = {name: block.copy() for name in YELLOW_NULL_BLOCK}
    rows.columns["payment_type"][block] = 0


def _set_clocks(rows: Rows) -> None:
    """Move some trips to other months and years, and let some end before they start."""
    pickup, dropoff = rows.columns[PICKUP], rows.columns[DROPOFF]
    first, end = _epoch(rows.month), _epoch(rows.month.next())
    moments = [end + 600 * i for i in range(8)] + [first - 600 * i for i in range(1, 5)]
    moments += [_seconds("2008-12-31T23:02:19"), _seconds("2009-01-01T00:14:48"), _seconds("2041-08-17T16:24:00")]
    moved = rows.take(len(moments))
    shift = np.array(moments)[: len(moved)] - pickup[moved]
    pickup[moved] += shift
    dropoff[moved] += shift
    backwards = np.concatenate([rows.take(3), np.flatnonzero(rows.columns["VendorID"] == 6)[::4]])
    dropoff[backwards] = pickup[backwards] - rows.dice.ranges(len(backwards), (9, 1, 60), (1, 61, 446))


def _set_repeats(rows: Rows) -> None:
    """Repeat rows: a reversal stands before its charge, as the publisher's do, and a duplicate after its original."""
    reversals, originals = rows.take(3 + rows.count // 400), rows.take(5)
    rows.columns["VendorID"][reversals + 1] = 2
    for values in (*rows.columns.values(), *rows.nulls.values()):
        values[reversals] = values[reversals + 1]
        values[originals + 1] = values[originals]
    for name in AMOUNTS & set(rows.columns):
        rows.columns[name][reversals] *= -1


AMOUNTS = {*PARTS, "total_amount", "airport_fee"}
STEPS: dict[Cab, tuple[Callable[[Rows], None], ...]] = {
    "green": (_draw_trips, _set_codes, _set_nulls, _set_clocks, _set_repeats),
    "yellow": (_draw_trips, _draw_airport_fee, _set_codes, _set_yellow_nulls, _set_clocks, _set_repeats),
}


def draw(month: Month, seed: int, rows: int, cab: Cab) -> Rows:
    """Return the rows of `month`, as integers."""
    drawn = Rows(month, seed, rows, cab)
    for step in STEPS[cab]:
        step(drawn)
    return drawn
