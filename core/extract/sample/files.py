"""The drawn trips as files of the publisher's kind: Arrow columns, Parquet files, the zone lookup, a folder of months.

Values become floating point in one division at the end. pandas is not imported: arrays reach pyarrow as buffers,
because `pyarrow.array` would import it (0.4 s).
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import UsageError
from core.extract.sample.published import (
    TIMES,
    YELLOW_NAMES,
    ZONES,
    Cab,
    Encoding,
    check_month,
    columns_of,
    encoding_of,
    file_name,
)
from core.extract.sample.rows import AMOUNTS, FEWEST_ROWS, HARD_VALUES, ROWS, SEED, Integers, Rows, draw
from core.month import Month

_VERSION = 2
"""Rises whenever the same seed produces other rows: files of an older version are then written again."""

_STAMP = b"triptych.sample"


def table(
    month: Month, seed: int = SEED, rows: int = ROWS, encoding: Encoding | None = None, cab: Cab = "green"
) -> pa.Table:
    """Return the rows of `month`, typed as the publisher types them in that era, or as `encoding` says.

    Raise `UsageError` when the month is outside 2020-2025, the seed negative, or `rows` below `FEWEST_ROWS`.
    """
    check_month(month)
    if seed < 0 or rows < FEWEST_ROWS:
        raise UsageError(f"seed {seed}, {rows} rows: sample data takes a seed from 0 and rows from {FEWEST_ROWS}")
    made = draw(month, seed, rows, cab)
    types, hard = (encoding or encoding_of(month, cab)).types, made.take(len(HARD_VALUES))
    names = columns_of(month, cab)
    return pa.table({name: _column(made, name, types.get(name, pa.float64()), hard) for name in names})


def _column(rows: Rows, published: str, kind: pa.DataType, hard: Integers) -> pa.Array[Any]:
    name = YELLOW_NAMES.get(published, published)
    # `ehail_fee` is NULL in every row ever published; a column without a type is one that nobody had paid yet.
    if name == "ehail_fee" or kind == pa.null():
        return pa.nulls(rows.count).cast(kind)
    values, null = rows.columns[name], rows.nulls.get(name)
    valid = None if null is None else _buffer(np.packbits(~null, bitorder="little"))
    if name == "store_and_fwd_flag":
        letters = [_buffer(np.arange(rows.count + 1, dtype=np.int32)), _buffer(values.astype(np.uint8))]
        return pa.Array.from_buffers(pa.string(), rows.count, [valid, *letters]).cast(kind)
    if name in AMOUNTS or name == "trip_distance":
        amounts = _with_hard_values(name, values / 100.0, hard)
        return pa.Array.from_buffers(pa.float64(), rows.count, [valid, _buffer(amounts)])
    plain = pa.timestamp("s") if name in TIMES else pa.int64()
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
    """Write the file of `month`, complete or not at all; return its number of rows. Raise the errors of `table`."""
    encoding = encoding or encoding_of(month, cab)
    data = table(month, seed, rows, encoding, cab)
    metadata = {_STAMP: _stamp(month, seed, rows, encoding, cab)}
    if encoding.pandas_metadata:
        metadata[b"pandas"] = _pandas_metadata(data.schema)
    with _renamed(path) as temporary:
        pq.write_table(
            data.replace_schema_metadata(metadata), temporary, compression=encoding.codec, version=encoding.version,
            # None: one row group up to a million rows, as in the publisher's files.
            row_group_size=encoding.row_group_rows,
        )  # fmt: skip
    return int(data.num_rows)


def _stamp(month: Month, seed: int, rows: int, encoding: Encoding, cab: Cab) -> bytes:
    stamp = f"version={_VERSION} month={month} seed={seed} rows={rows} codec={encoding.codec}"
    # Green files came first, and keep their bytes.
    return (stamp if cab == "green" else f"{stamp} cab={cab}").encode()


def _pandas_metadata(schema: pa.Schema) -> bytes:
    """Return the metadata that pandas writes into a file: the publisher's older files have it."""
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
    """Write the zone lookup as `path`: 265 zones with invented names, and the publisher's quotes and line endings."""
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
    """Yield a temporary path beside `path`, which is renamed to it when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A fixed name: the next writer replaces what a killed one left behind. `ensure` admits one writer at a time.
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process or thread brings `folder` up to date; the lock ends with the process that holds it.

    All steps of all orchestrators ask for the same files at the same time, and must find the same bytes.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


Report = Callable[[Month, Path, bool, float], None]


def ensure(
    folder: Path, months: Iterable[Month], seed: int = SEED, rows: int = ROWS, report: Report = lambda *_: None,
    cab: Cab = "green",
) -> list[Path]:  # fmt: skip
    """Bring `folder` up to date: the zone lookup and the file of each month, written where missing or outdated.

    Return the months' paths in the order of `months`. `report` is called after each month with (month, path, whether it
    was written, seconds). A file is outdated when it was not written by this version with this seed and these rows.
    Raise the errors of `table`; some months may be written by then.
    """
    paths = []
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not (folder / ZONES).exists():
            write_zones(folder / ZONES)
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
