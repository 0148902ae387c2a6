"""What the tests of transforms share: a publisher of hand-made rows, a busy reader, a copy of the dbt project."""

from __future__ import annotations

import datetime as dt
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from core import pipeline
from core.database import connect
from core.datasets import GREEN
from core.month import Month
from core.run import Run
from core.transform import dbt
from core.waiting import until

ZONES = (
    '"LocationID","Borough","Zone","service_zone"\r\n'
    '7,"Queens","Astoria","Boro Zone"\r\n'
    '264,"Unknown","N/A","N/A"\r\n'
    '265,"N/A","Outside of NYC","N/A"\r\n'
)

Row = dict[str, Any]


class Publisher:
    """A folder of small files under the publisher's names, loaded by the real loader."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "taxi_zone_lookup.csv").write_text(ZONES, newline="")

    def publish(self, month: str, rows: Sequence[Row]) -> None:
        """Publish `rows` as `month`'s file; columns that a row does not set have ordinary values."""
        noon = dt.datetime.combine(Month.parse(month).first_day, dt.time(12))
        ordinary = {
            "VendorID": 2, "lpep_pickup_datetime": noon, "lpep_dropoff_datetime": noon + dt.timedelta(minutes=10),
            "PULocationID": 7, "DOLocationID": 265, "trip_distance": 2.0, "fare_amount": 10.0, "total_amount": 12.0,
            "tip_amount": 2.0, "payment_type": 1, "RatecodeID": 1, "trip_type": 1, "store_and_fwd_flag": "N",
        }  # fmt: skip
        columns = [pa.field(column.published, column.kind.arrow) for column in GREEN.columns]
        table = pa.Table.from_pylist([ordinary | row for row in rows], schema=pa.schema(columns))
        pq.write_table(table, self.folder / f"green_tripdata_{month}.parquet")

    def land(self, schema: str, month: str, rows: Sequence[Row]) -> None:
        """Publish `rows` as `month`'s file, and load it."""
        self.publish(month, rows)
        run = self.run(schema)
        pipeline.ingest_zones(run)
        pipeline.ingest_month(run, Month.parse(month))

    def run(self, schema: str) -> Run:
        # Suspect files too: tests publish rows of other months, or none
        return Run(source=str(self.folder), schema=schema, loader="test", accept_suspect=True)


def query(text: str, schema: str) -> list[tuple[Any, ...]]:
    """Return what the warehouse answers to `text`, in which ``{}`` is the schema."""
    with connect("test") as connection:
        return connection.execute(sql.SQL(text).format(sql.Identifier(schema))).fetchall()


def forget_version(schema: str, dataset: str) -> None:
    with connect("test") as connection:
        table = sql.Identifier(schema, "transform_ledger")
        connection.execute(sql.SQL("DELETE FROM {} WHERE dataset = {}").format(table, dataset))


class Watch:
    """Calls `look` again and again in a session of its own while the block runs; collects the set of its results."""

    def __init__(self, look: Callable[[psycopg.Connection[Any]], tuple[int, ...]]) -> None:
        self.look, self.seen, self.over = look, set[tuple[int, ...]](), threading.Event()
        self.pool = ThreadPoolExecutor(1)

    def __enter__(self) -> set[tuple[int, ...]]:
        self.reader: Future[None] = self.pool.submit(self._read)
        until(lambda: self.seen or None, 30, 0.01, "the reader's first result")
        return self.seen

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.reader.result()
        self.pool.shutdown()

    def _read(self) -> None:
        with connect("reader", autocommit=True) as connection:
            while not self.over.is_set():
                self.seen.add(self.look(connection))
            self.seen.add(self.look(connection))


def project_copy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy our dbt project and use the copy in its place; return its folder."""
    project = folder / "dbt"
    shutil.copytree(dbt.PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setattr(dbt, "PROJECT", project)
    return project
