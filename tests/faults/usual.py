"""The usual pattern under random kills, which `tests.faults.soak` starts.

    python -m tests.faults.usual DSN FOLDER KILLS SEED

It deletes the month by pickup date on one connection and appends the file by pandas' to_sql on another, up to three
months at a time, with the files of our own soak. Without any kill it already loses rows, because a file holds pickups
of other months. So the result of one undisturbed pass over the months is counted first and reported separately.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import sqlalchemy

from core.month import Month, parse_months
from tests.faults.injector import Child
from tests.faults.kills import TIMEOUT_S, Mark, Soak, Step

MONTHS = parse_months("2024-01..2024-03")
PHASES = ("read", "delete", "append", "after")


def usual(dsn: str, file: Path, month: Month) -> Step:
    """Return one attempt at a month."""

    def step(mark: Mark) -> str:
        trips = pd.read_parquet(file)
        mark("delete")
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "DELETE FROM usual.trips WHERE lpep_pickup_datetime >= %s AND lpep_pickup_datetime < %s",
                [month.first_day, month.next().first_day],
            )
        mark("append")
        engine = sqlalchemy.create_engine(dsn.replace("postgresql://", "postgresql+psycopg2://"))
        trips.to_sql("trips", engine, schema="usual", if_exists="append", index=False)
        mark("after")
        return "success"

    return step


def damage(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """Return the number of published rows that are missing, and of surplus rows, as multisets."""
    query = "SELECT count(*) FROM (TABLE usual.{} EXCEPT ALL TABLE usual.{}) AS t"
    lost, extra = (
        connection.execute(query.format(*pair).encode()).fetchall()[0][0]
        for pair in (("published", "trips"), ("trips", "published"))
    )
    return {"lost_rows": int(lost), "extra_rows": int(extra)}


def clean(dsn: str, files: dict[Month, Path]) -> None:
    """Load every month once, undisturbed."""
    for month, file in files.items():
        ended = Child(lambda month=month, file=file: usual(dsn, file, month)(lambda _: None)).wait(TIMEOUT_S)  # type: ignore[misc]
        assert ended.how == "success", ended


def publish(dsn: str, files: dict[Month, Path]) -> str:
    """Put all published rows into a table."""
    engine = sqlalchemy.create_engine(dsn.replace("postgresql://", "postgresql+psycopg2://"))
    for file in files.values():
        pd.read_parquet(file).to_sql("published", engine, schema="usual", if_exists="append", index=False)
    return ""


def main(dsn: str, folder: str, kills: str, seed: str) -> None:
    """Kill loaders, then load all months once more; print the damage as JSON."""
    draw = random.Random(int(seed))
    files = {month: Path(folder) / "published" / f"green_tripdata_{month}.parquet" for month in MONTHS}
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS usual CASCADE; CREATE SCHEMA usual")
        ended = Child(lambda: publish(dsn, files)).wait(TIMEOUT_S)
        assert ended.how == "success", ended
        connection.execute("CREATE TABLE usual.trips (LIKE usual.published)")
        clean(dsn, files)
        undisturbed = damage(connection)
        soak = Soak(PHASES, Path(folder) / f"usual-{os.getpid()}.jsonl", draw)
        while soak.kills < int(kills):
            if soak.is_full:
                time.sleep(0.0005)
            else:
                month = draw.choice(MONTHS)
                soak.start(usual(dsn, files[month], month), str(month))
            soak.look()
        soak.drain()
        clean(dsn, files)
        found = {
            "kills": soak.kills,
            "by_phase": dict(soak.by_phase),
            **damage(connection),
            "without_kills": undisturbed,
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
