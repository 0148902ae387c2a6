"""The oracle: what the tables must hold, computed a second time in another way.

It shares no code with `core` and imports none of it. It reads the files with pandas instead of as a stream of Arrow
batches; it states columns, types and rules again by hand, from their specification; it reads the tables as rows over a
plain connection instead of as digests. Contents are compared as multisets, exactly: floating point by its bits, so that
NaN, its sign and -0.0 count; NULL apart from NaN; timestamps to the microsecond; numeric to the last digit. A mistake
would have to be made twice, in two ways, to remain unnoticed.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pandas as pd
import psycopg
from psycopg import sql

Row = tuple[Any, ...]
"""Values in plain form: int, str, bool, date, Decimal, None; floating point as its 64 bits, a timestamp as microseconds
since 1970, both signed integers; an array of dates as text."""

TABLES = ("raw_zones", "raw_trips", "fct_trips", "daily_borough_stats")

SHOWN = 20
"""Differences listed per table; the rest are counted."""


class Column(NamedTuple):
    """A table's column, its PostgreSQL type, and the name under which it is published."""

    name: str
    type: str
    published: str = ""


INTEGER, DOUBLE, TEXT, DATE = "integer", "double precision", "text", "date"
TIMESTAMP, NUMERIC, BOOLEAN, DATES = "timestamp without time zone", "numeric", "boolean", "date[]"

RAW_TRIPS = (
    Column("source_month", DATE),
    Column("row_number", INTEGER),
    Column("vendor_id", INTEGER, "VendorID"),
    Column("pickup_datetime", TIMESTAMP, "lpep_pickup_datetime"),
    Column("dropoff_datetime", TIMESTAMP, "lpep_dropoff_datetime"),
    Column("store_and_fwd_flag", TEXT, "store_and_fwd_flag"),
    Column("rate_code_id", INTEGER, "RatecodeID"),
    Column("pickup_location_id", INTEGER, "PULocationID"),
    Column("dropoff_location_id", INTEGER, "DOLocationID"),
    Column("passenger_count", INTEGER, "passenger_count"),
    Column("trip_distance", DOUBLE, "trip_distance"),
    Column("fare_amount", DOUBLE, "fare_amount"),
    Column("extra", DOUBLE, "extra"),
    Column("mta_tax", DOUBLE, "mta_tax"),
    Column("tip_amount", DOUBLE, "tip_amount"),
    Column("tolls_amount", DOUBLE, "tolls_amount"),
    Column("ehail_fee", DOUBLE, "ehail_fee"),
    Column("improvement_surcharge", DOUBLE, "improvement_surcharge"),
    Column("total_amount", DOUBLE, "total_amount"),
    Column("payment_type", INTEGER, "payment_type"),
    Column("trip_type", INTEGER, "trip_type"),
    Column("congestion_surcharge", DOUBLE, "congestion_surcharge"),
    Column("cbd_congestion_fee", DOUBLE, "cbd_congestion_fee"),
)

RAW_ZONES = (
    Column("location_id", INTEGER, "LocationID"),
    Column("borough", TEXT, "Borough"),
    Column("zone", TEXT, "Zone"),
    Column("service_zone", TEXT, "service_zone"),
)

FCT_TRIPS = (
    Column("source_month", DATE),
    Column("row_number", INTEGER),
    Column("vendor_id", INTEGER),
    Column("picked_up_at", TIMESTAMP),
    Column("dropped_off_at", TIMESTAMP),
    Column("pickup_date", DATE),
    Column("duration_seconds", NUMERIC),
    Column("pickup_location_id", INTEGER),
    Column("pickup_borough", TEXT),
    Column("pickup_zone", TEXT),
    Column("dropoff_location_id", INTEGER),
    Column("dropoff_borough", TEXT),
    Column("dropoff_zone", TEXT),
    Column("rate_code_id", INTEGER),
    Column("trip_type", INTEGER),
    Column("is_stored_and_forwarded", BOOLEAN),
    Column("passenger_count", INTEGER),
    Column("distance_miles", NUMERIC),
    Column("fare_amount", NUMERIC),
    Column("extra", NUMERIC),
    Column("mta_tax", NUMERIC),
    Column("tip_amount", NUMERIC),
    Column("tolls_amount", NUMERIC),
    Column("ehail_fee", NUMERIC),
    Column("improvement_surcharge", NUMERIC),
    Column("congestion_surcharge", NUMERIC),
    Column("cbd_congestion_fee", NUMERIC),
    Column("total_amount", NUMERIC),
    Column("tip_share", NUMERIC),
    Column("fare_per_mile", NUMERIC),
    Column("payment_type", INTEGER),
    Column("payment_label", TEXT),
)

DAILY_BOROUGH_STATS = (
    Column("pickup_date", DATE),
    Column("borough", TEXT),
    Column("trips", "bigint"),
    Column("distance_miles", NUMERIC),
    Column("fare_amount", NUMERIC),
    Column("tip_amount", NUMERIC),
    Column("total_amount", NUMERIC),
    Column("median_distance_miles", NUMERIC),
    Column("median_fare_amount", NUMERIC),
    Column("median_duration_seconds", NUMERIC),
    Column("source_months", DATES),
)


def differences(
    dsn: str, schema: str, files: Mapping[str, Path], zones: Path, tables: Collection[str] = TABLES
) -> list[str]:
    """Compare the tables of `schema` with `files` (by month, ``YYYY-MM``) and `zones`; return a line per difference.

    `files` are all the months that the schema holds. Each line names table, month, row and column, what was expected
    and what the table holds. Months are read one at a time, so that memory stays at some 150 MB per 60,000 rows.
    """
    with psycopg.connect(dsn, options="-c search_path=pg_catalog -c TimeZone=UTC") as connection:
        # One snapshot of all the tables.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        database = _Database(connection, schema)
        return [line for table in tables for line in _table_differences(database, table, files, zones)]


def _table_differences(database: _Database, table: str, files: Mapping[str, Path], zones: Path) -> Iterator[str]:
    columns = {"raw_zones": RAW_ZONES, "raw_trips": RAW_TRIPS, "fct_trips": FCT_TRIPS}.get(table, DAILY_BOROUGH_STATS)
    if wrong := database.column_differences(table, columns, all_of_them=table.startswith("raw")):
        yield from wrong
    elif table == "raw_zones":
        yield from compare(table, columns, 1, expected_zones(zones), database.rows(table, columns))
    elif table == "daily_borough_stats":
        facts = (row for month, path in files.items() for row in expected_facts(expected_trips(month, path), zones))
        yield from compare(table, columns, 2, expected_stats(facts), database.rows(table, columns))
    else:
        yield from database.foreign_months(table, files)
        for month, path in files.items():
            trips = expected_trips(month, path)
            expected = trips if table == "raw_trips" else expected_facts(trips, zones)
            yield from compare(table, columns, 2, expected, database.rows(table, columns, month))


# ---------------------------------------------------------------- from the files


def expected_trips(month: str, path: Path) -> list[Row]:
    """Return the rows that ``raw_trips`` must hold of a month: every row of the file, as published, numbered from 1."""
    # With Arrow columns pandas keeps NULL apart from NaN, and 64-bit integers exact; its default does neither.
    frame = pd.read_parquet(path, dtype_backend="pyarrow")
    unknown = set(frame.columns) - {column.published for column in RAW_TRIPS}
    assert not unknown, f"{path.name} has undeclared columns: {sorted(unknown)}"
    first_day = dt.date.fromisoformat(f"{month}-01")
    values = [_plain(frame, column) for column in RAW_TRIPS if column.published]
    return [(first_day, number, *row) for number, row in enumerate(zip(*values, strict=True), start=1)]


def _plain(frame: pd.DataFrame, column: Column) -> list[Any]:
    if column.published not in frame:
        return [None] * len(frame)
    published = frame[column.published]
    null = published.isna().to_numpy(dtype=bool)
    if null.all():
        return [None] * len(frame)
    values: Iterable[Any]
    if column.type == TEXT:
        values = published.to_list()
    elif column.type == TIMESTAMP:
        values = pd.to_datetime(published).astype("datetime64[us]").astype("int64").to_list()
    elif column.type == DOUBLE:
        values = pd.to_numeric(published).to_numpy(dtype="float64").view("int64").tolist()
    else:
        whole = pd.to_numeric(published).astype("float64").where(~null, 0)
        assert (whole == whole.round()).all(), f"{column.published} has values that are no integers"
        values = whole.astype("int64").to_list()
    return [None if missing else value for value, missing in zip(values, null.tolist(), strict=True)]


def expected_zones(path: Path) -> list[Row]:
    """Return the rows that ``raw_zones`` must hold. The text N/A is a text, not a NULL."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(frame.columns) == [column.published for column in RAW_ZONES], f"{path.name}: {list(frame.columns)}"
    return [(int(location), *names) for location, *names in frame.itertuples(index=False)]


# ---------------------------------------------------------------- the marts, by their rules

_LABELS = {
    0: "Flex Fare", 1: "Credit card", 2: "Cash", 3: "No charge", 4: "Dispute", 5: "Unknown", 6: "Voided",
    None: "Not recorded",
}  # fmt: skip
_DAY_US = 86_400_000_000
_EPOCH = dt.date(1970, 1, 1)


def expected_facts(trips: Iterable[Row], zones: Path) -> Iterator[Row]:
    """Yield the rows that ``fct_trips`` must hold: one per trip whose pickup zone is in the lookup."""
    names = _zone_names(zones)
    columns = [column.name for column in RAW_TRIPS]
    for row in trips:
        trip = SimpleNamespace(**dict(zip(columns, row, strict=True)))
        if trip.pickup_location_id in names:
            yield _fact(trip, names)


def _zone_names(path: Path) -> dict[int, tuple[str, str | None]]:
    """Return borough and zone by location. ``N/A`` names nothing; a place without a borough gets its zone's name."""
    names = {}
    for location, borough, zone, _ in expected_zones(path):
        known = [name for name in (borough, zone) if name != "N/A"]
        names[location] = (known[0] if known else "Unknown", None if zone == "N/A" else zone)
    return names


def _fact(trip: SimpleNamespace, names: Mapping[int, tuple[str, str | None]]) -> Row:
    fare, tip, total = money(trip.fare_amount), money(trip.tip_amount), money(trip.total_amount)
    miles = distance(trip.trip_distance)
    return (
        trip.source_month,
        trip.row_number,
        trip.vendor_id,
        trip.pickup_datetime,
        trip.dropoff_datetime,
        _EPOCH + dt.timedelta(days=trip.pickup_datetime // _DAY_US),
        Decimal(trip.dropoff_datetime - trip.pickup_datetime) / 1_000_000,
        trip.pickup_location_id,
        *names[trip.pickup_location_id],
        trip.dropoff_location_id,
        *names.get(trip.dropoff_location_id, (None, None)),
        # 99 means unknown.
        None if trip.rate_code_id == 99 else trip.rate_code_id,
        trip.trip_type,
        {"Y": True, "N": False}.get(trip.store_and_fwd_flag),
        trip.passenger_count,
        miles,
        fare,
        money(trip.extra),
        money(trip.mta_tax),
        tip,
        money(trip.tolls_amount),
        money(trip.ehail_fee),
        money(trip.improvement_surcharge),
        money(trip.congestion_surcharge),
        money(trip.cbd_congestion_fee),
        total,
        share(tip, total),
        share(fare, miles),
        trip.payment_type,
        _LABELS.get(trip.payment_type, "Other"),
    )


@cache
def money(bits: int | None) -> Decimal | None:
    """Return an amount to the cent, rounding halves away from zero; None if it is no number, or above 8 digits."""
    value = distance(bits)
    return None if value is None or abs(value) > Decimal("99999999.99") else _rounded(value, "0.01")


@cache
def distance(bits: int | None) -> Decimal | None:
    """Return a published distance to the 15 digits that a double always holds; None if it is no number, or absurd."""
    value = math.nan if bits is None else _double(bits)
    # A comparison with NaN is false.
    return Decimal(f"{value:.15g}") if abs(value) < 1e8 else None


def share(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    """Return ``part / whole`` to four places, rounding halves away from zero; None unless `whole` is positive."""
    return None if part is None or whole is None or whole <= 0 else _rounded(part / whole, "0.0001")


def _rounded(value: Decimal, step: str) -> Decimal:
    return value.quantize(Decimal(step), rounding=ROUND_HALF_UP)


def _double(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", bits))[0])


def expected_stats(facts: Iterable[Row]) -> list[Row]:
    """Return the rows that ``daily_borough_stats`` must hold: one per pickup date and borough that has trips.

    Sums ignore NULLs. A median is the lower middle one of the values that are not NULL.
    """
    summed = ("distance_miles", "fare_amount", "tip_amount", "total_amount")
    wanted = ("pickup_date", "pickup_borough", *summed, "duration_seconds", "source_month")
    places = [[column.name for column in FCT_TRIPS].index(name) for name in wanted]
    frame = pd.DataFrame([[fact[i] for i in places] for fact in facts], columns=wanted, dtype=object)
    rows: list[Row] = []
    for day, group in frame.groupby(["pickup_date", "pickup_borough"], sort=False):
        there = {name: [value for value in group[name] if value is not None] for name in wanted[2:-1]}
        sums = [sum(there[name], Decimal(0)) for name in summed]
        medians = [_lower_median(there[name]) for name in ("distance_miles", "fare_amount", "duration_seconds")]
        months = ",".join(sorted({str(month) for month in group["source_month"]}))
        rows.append((*day, len(group), *sums, *medians, months))
    return rows


def _lower_median(values: list[Decimal]) -> Decimal | None:
    return sorted(values)[(len(values) - 1) // 2] if values else None


# ---------------------------------------------------------------- from the tables


class _Database:
    """One schema's tables, as rows."""

    def __init__(self, connection: psycopg.Connection, schema: str) -> None:
        self._connection, self._schema = connection, schema

    def column_differences(self, table: str, columns: tuple[Column, ...], *, all_of_them: bool) -> list[str]:
        """Return lines for differences in names and types; with `all_of_them`, in order and number too."""
        query = """SELECT attname, format_type(atttypid, NULL)
                   FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid
                   JOIN pg_namespace ON relnamespace = pg_namespace.oid
                   WHERE nspname = %s AND relname = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
        found = self._connection.execute(query, [self._schema, table]).fetchall()
        expected = [(column.name, column.type) for column in columns]
        if not found:
            return [f"{table}: there is no such table in schema {self._schema!r}"]
        if all_of_them and found != expected:
            return [f"{table}: columns: expected {expected}, found {found}"]
        types: dict[str, str] = dict(found)
        return [f"{table}: column {n}: expected {t}, found {types.get(n)}" for n, t in expected if types.get(n) != t]

    def foreign_months(self, table: str, files: Mapping[str, Path]) -> Iterator[str]:
        """Yield a line for each month that is in the table and not in `files`."""
        query = sql.SQL("SELECT to_char(source_month, 'YYYY-MM-DD'), count(*) FROM {} GROUP BY 1 ORDER BY 1")
        for month, rows in self._connection.execute(query.format(self._name(table))):
            if month not in {f"{name}-01" for name in files}:
                yield f"{table} {month}: expected no rows, found {rows}"

    def rows(self, table: str, columns: tuple[Column, ...], month: str | None = None) -> list[Row]:
        """Return the rows of a table, or of one month of it, in plain form."""
        plain = [_PLAIN.get(column.type, sql.SQL("{}")).format(sql.Identifier(column.name)) for column in columns]
        query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(plain), self._name(table))
        if month is not None:
            query += sql.SQL(" WHERE source_month = {}").format(sql.Literal(dt.date.fromisoformat(f"{month}-01")))
        return self._connection.cursor(binary=True).execute(query).fetchall()

    def _name(self, table: str) -> sql.Identifier:
        return sql.Identifier(self._schema, table)


# The server itself returns bits and microseconds, so that no conversion by a driver is involved.
_PLAIN = {
    DOUBLE: sql.SQL("('x' || encode(float8send({}), 'hex'))::bit(64)::bigint"),
    TIMESTAMP: sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint"),
    # ISO dates, by the session's settings.
    DATES: sql.SQL("array_to_string({}, ',')"),
}


# ---------------------------------------------------------------- comparison


def compare(
    table: str, columns: tuple[Column, ...], key: int, expected: Iterable[Row], found: Iterable[Row]
) -> Iterator[str]:
    """Compare two multisets of rows, whose first `key` columns identify a row; yield a line per difference."""
    rows, others = (sorted(side, key=lambda row: row[:key]) for side in (expected, found))
    # Counting 60,000 rows hashes each of them three times: 2 s, against 0.1 s for this.
    if rows == others:
        return
    wanted, there = Counter(rows), Counter(others)
    missing, surplus = wanted - there, there - wanted
    lines = _describe(table, columns, key, sorted(missing.elements(), key=repr), sorted(surplus.elements(), key=repr))
    for number, line in enumerate(lines):
        if number < SHOWN:
            yield line
    if missing.total() + surplus.total() > SHOWN:
        yield f"{table}: {missing.total()} rows are missing and {surplus.total()} should not be there, in all"


def _describe(
    table: str, columns: tuple[Column, ...], key: int, missing: list[Row], surplus: list[Row]
) -> Iterator[str]:
    """Yield a line for each column that differs between rows with the same key, and for each row lost or added."""
    by_key: dict[Row, list[Row]] = {}
    for row in surplus:
        by_key.setdefault(row[:key], []).append(row)
    for row in missing:
        where = _where(table, row, key)
        if not (others := by_key.get(row[:key])):
            yield f"{where}: expected {_show_row(columns, row)}, found no such row"
            continue
        other = others.pop()
        for column, left, right in zip(columns, row, other, strict=True):
            if left != right:
                yield f"{where}, column {column.name}: expected {_show(column, left)}, found {_show(column, right)}"
    for row in (row for rows in by_key.values() for row in rows):
        yield f"{_where(table, row, key)}: expected no such row, or fewer of it, found {_show_row(columns, row)}"


def _where(table: str, row: Row, key: int) -> str:
    if key == 1:
        return f"{table} row {row[0]}"
    return f"{table} {row[0]:%Y-%m} row {row[1]}" if isinstance(row[1], int) else f"{table} {row[0]} {row[1]}"


def _show_row(columns: tuple[Column, ...], row: Row) -> str:
    return "(" + ", ".join(_show(column, value) for column, value in zip(columns, row, strict=True)) + ")"


def _show(column: Column, value: Any) -> str:
    if value is None:
        return "NULL"
    if column.type == TIMESTAMP:
        return str(dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=value))
    if column.type == DOUBLE:
        number = _double(value)
        return f"{number!r} (0x{value % 2**64:016x})" if math.isnan(number) or number == 0 else repr(number)
    return repr(value) if isinstance(value, str) else str(value)
