"""The ways to get one month's file into PostgreSQL that the load race compares. Each runs in a process of its own.

Every method gets the same Parquet file, leaves the same rows in a table of the same columns, and is used as its own
documentation shows it. What can be opened in advance is (imports, connections), except by `triptych_step` and `dlt`,
which open their own. Where the method allows it, the table is created in the transaction that fills it, as in ours:
then a server with ``wal_level=minimal`` writes no WAL.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness.child import peak_rss_mb
from core import load
from core.datasets import GREEN
from core.extract import Extracted
from core.load.copy import encoded
from core.month import Month
from core.settings import settings

SCHEMA = "race"
TABLE = "trips"
MONTHS = (Month(2024, 1), Month(2024, 2))
NAMES = {column.published: column.name for column in GREEN.columns}

CREATE = "CREATE TABLE {}.{} ({})".format(
    SCHEMA, TABLE, ", ".join(f"{column.name} {column.kind.postgres}" for column in GREEN.table_columns)
)

Timed = Callable[[], Any]


def order(path: str, month: Month = MONTHS[0], fence: int = 1) -> load.Load:
    """Return the load of a file into the race's schema, as `core.pipeline` would order it."""
    file = Path(path)
    extracted = Extracted(file, f"green_tripdata_{month}.parquet", "0" * 64, file.stat().st_size)
    return load.Load(SCHEMA, GREEN, month, extracted, "swap", "benchmark", "1", fence, accept_suspect=True)


def encode(path: str, wire: str) -> None:
    """Write the file as the bytes of a binary COPY, which `limit` sends."""
    with Path(wire).open("wb") as out:
        for piece, _ in encoded(order(path)):
            out.write(piece)


# --- ours -----------------------------------------------------------------------------------------------------------


def limit(wire: str, **_: Any) -> Timed:
    """COPY of bytes that were encoded in advance: the time that the server needs."""
    connection = psycopg.connect(settings().require_dsn())

    def timed() -> None:
        with connection.transaction(), Path(wire).open("rb") as file:
            connection.execute(CREATE.encode())
            with connection.cursor().copy(f"COPY {SCHEMA}.{TABLE} FROM STDIN (FORMAT binary)".encode()) as copy:
                while piece := file.read(1 << 20):
                    copy.write(memoryview(piece))

    return timed


def triptych_copy(path: str, **_: Any) -> Timed:
    """COPY as `core` does it, without the digest: decode, cast, encode and send, into a new table."""
    connection = psycopg.connect(settings().require_dsn())

    def timed() -> None:
        with connection.transaction():
            connection.execute(CREATE.encode())
            with connection.cursor().copy(f"COPY {SCHEMA}.{TABLE} FROM STDIN (FORMAT binary)".encode()) as copy:
                for piece, _ in encoded(order(path)):
                    copy.write(piece)

    return timed


def triptych_step(path: str, **_: Any) -> Timed:
    """The whole step: fencing token, locks, ledger, side table, COPY, digest, ledger row, partition, commit."""
    # The schema exists already, as it does for every month but the first.
    load.begin(SCHEMA)
    return partial(_step, path, MONTHS[0])


def _step(path: str, month: Month) -> float:
    done = load.load(order(path, month, load.begin(SCHEMA)))
    assert done.state == "success", done
    return peak_rss_mb()


def two_months(path: str, at_once: bool, **_: Any) -> Timed:
    """Load two months in two processes, at once or one after the other; return the sum of their peaks, in MB."""
    load.begin(SCHEMA)
    pool = ProcessPoolExecutor(2)
    assert sum(pool.map(len, ["warm", "warm"])) == 8

    def timed() -> float:
        with pool:
            if at_once:
                return sum(pool.map(partial(_step, path), MONTHS))
            return sum(pool.submit(_step, path, month).result() for month in MONTHS)

    return timed


# --- what a user would pick instead -----------------------------------------------------------------------------------


def _frame(path: str) -> Any:
    """Return the file as a pandas frame in the table's columns.

    The default types of pandas would turn integers with NULLs into floats.
    """
    import pandas as pd

    frame = pd.read_parquet(path, dtype_backend="numpy_nullable").rename(columns=NAMES)
    frame.insert(0, "source_month", MONTHS[0].first_day)
    frame.insert(1, "row_number", range(1, len(frame) + 1))
    return frame


def pandas_to_sql(path: str, **_: Any) -> Timed:
    """``DataFrame.to_sql`` as it is."""
    return _to_sql(path)


def pandas_to_sql_multi(path: str, **_: Any) -> Timed:
    """``DataFrame.to_sql(method="multi", chunksize=1000)``."""
    return _to_sql(path, method="multi", chunksize=1000)


def _to_sql(path: str, **options: Any) -> Timed:
    import sqlalchemy

    address = settings().require_dsn().replace("postgresql:", "postgresql+psycopg:")
    connection = sqlalchemy.create_engine(address).connect()
    connection.execute(sqlalchemy.text(CREATE))

    def timed() -> None:
        _frame(path).to_sql(TABLE, connection, schema=SCHEMA, if_exists="append", index=False, **options)
        connection.commit()

    return timed


def pandas_csv(path: str, **_: Any) -> Timed:
    """``DataFrame.to_csv``, then COPY of the text."""
    import pandas  # noqa: F401  # before the clock starts

    def texts() -> Iterator[tuple[list[str], bytes]]:
        frame = _frame(path)
        for start in range(0, len(frame), 100_000):
            text = frame.iloc[start : start + 100_000].to_csv(index=False, header=False)
            yield list(frame.columns), text.encode()

    return _copy_csv(texts)


def arrow_csv(path: str, **_: Any) -> Timed:
    """``pyarrow.csv.write_csv``, batch by batch, then COPY of the text."""
    import pyarrow.csv

    def texts() -> Iterator[tuple[list[str], bytes]]:
        for batch in _record_batches(path):
            out = io.BytesIO()
            pyarrow.csv.write_csv(batch, out, pyarrow.csv.WriteOptions(include_header=False))
            yield batch.schema.names, out.getvalue()

    return _copy_csv(texts)


def _copy_csv(texts: Callable[[], Iterator[tuple[list[str], bytes]]]) -> Timed:
    connection = psycopg.connect(settings().require_dsn())

    def timed() -> None:
        with connection.transaction():
            connection.execute(CREATE.encode())
            names, text = next(pieces := texts())
            into = f"COPY {SCHEMA}.{TABLE} ({', '.join(names)}) FROM STDIN (FORMAT csv)"
            with connection.cursor().copy(into.encode()) as copy:
                copy.write(text)
                for _, text in pieces:
                    copy.write(text)

    return timed


def _record_batches(path: str) -> Iterator[pa.RecordBatch]:
    """Yield the file's batches, cast to the table's types by pyarrow alone."""
    first = 1
    for batch in pq.ParquetFile(path).iter_batches(65_536):
        columns = {NAMES[name]: values for name, values in zip(batch.schema.names, batch.columns, strict=True)}
        columns["source_month"] = pa.repeat(pa.scalar(MONTHS[0].first_day, pa.date32()), batch.num_rows)
        columns["row_number"] = pa.array(range(first, first + batch.num_rows), pa.int32())
        first += batch.num_rows
        arrays = [
            columns[field.name].cast(field.type) if field.name in columns else pa.nulls(batch.num_rows, field.type)
            for field in GREEN.arrow
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=GREEN.arrow)


def psycopg_write_row(path: str, **_: Any) -> Timed:
    """psycopg's ``copy.write_row``, binary."""
    connection = psycopg.connect(settings().require_dsn())
    kinds = {pa.int32(): "int4", pa.float64(): "float8", pa.date32(): "date", pa.string(): "text"}

    def timed() -> None:
        with connection.transaction():
            connection.execute(CREATE.encode())
            with connection.cursor().copy(f"COPY {SCHEMA}.{TABLE} FROM STDIN (FORMAT binary)".encode()) as copy:
                copy.set_types([kinds.get(field.type, "timestamp") for field in GREEN.arrow])
                for batch in _record_batches(path):
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        copy.write_row(row)

    return timed


def adbc(path: str, **_: Any) -> Timed:
    """The ADBC driver's ``adbc_ingest`` of a stream of batches."""
    import adbc_driver_postgresql.dbapi

    connection = adbc_driver_postgresql.dbapi.connect(settings().require_dsn())
    cursor = connection.cursor()
    cursor.execute(CREATE)

    def timed() -> None:
        stream = pa.RecordBatchReader.from_batches(GREEN.arrow, _record_batches(path))
        cursor.adbc_ingest(TABLE, stream, mode="append", db_schema_name=SCHEMA)
        connection.commit()

    return timed


def polars(path: str, **_: Any) -> Timed:
    """polars' ``write_database`` with its ADBC engine."""
    import adbc_driver_postgresql.dbapi
    import polars as pl

    connection = adbc_driver_postgresql.dbapi.connect(settings().require_dsn())
    with connection.cursor() as cursor:
        cursor.execute(CREATE)
    kinds = {pa.int32(): pl.Int32, pa.float64(): pl.Float64, pa.string(): pl.String}

    def timed() -> None:
        frame = pl.read_parquet(path).rename(NAMES, strict=False).with_row_index("row_number", offset=1)
        columns = [
            pl.col(field.name).cast(kinds.get(field.type, pl.Datetime("us")))
            for field in GREEN.arrow
            if field.name in frame.columns
        ]
        frame = frame.select(pl.lit(MONTHS[0].first_day).alias("source_month"), *columns)
        frame.write_database(f"{SCHEMA}.{TABLE}", connection, if_table_exists="append", engine="adbc")
        connection.commit()

    return timed


def dlt(path: str, **_: Any) -> Timed:
    """A dlt pipeline of Arrow batches, loaded as CSV, the faster of its file formats. It creates its table itself."""
    os.environ.update(RUNTIME__DLTHUB_TELEMETRY="false", RUNTIME__LOG_LEVEL="ERROR")
    import dlt as library

    pipeline = library.pipeline(
        "race",
        pipelines_dir=tempfile.mkdtemp(dir=settings().home),
        destination=library.destinations.postgres(settings().require_dsn()),
        dataset_name=SCHEMA,
    )
    local = {name: {"data_type": "timestamp", "timezone": False} for name in ("pickup_datetime", "dropoff_datetime")}

    def timed() -> None:
        rows = library.resource(_record_batches(path), name=f"{TABLE}_dlt", columns=local)
        pipeline.run(rows, loader_file_format="csv", write_disposition="append").raise_on_failed_jobs()
        _view_of_dlts_table()

    return timed


def _view_of_dlts_table() -> None:
    """Create a view, under the race's name, of dlt's table in our types: dlt turns every integer into a bigint."""
    columns = ", ".join(f"{column.name}::{column.kind.postgres} AS {column.name}" for column in GREEN.table_columns)
    with psycopg.connect(settings().require_dsn()) as connection:
        connection.execute(f"CREATE VIEW {SCHEMA}.{TABLE} AS SELECT {columns} FROM {SCHEMA}.{TABLE}_dlt".encode())
