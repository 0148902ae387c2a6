"""A pipeline of two steps, read and load, from monthly CSV files into one table; and the runner that runs it in a loop.

Nothing of Triptych's own pipeline is used. How rows reach the table is what the two orchestrators of this folder differ
in.
"""

from __future__ import annotations

import csv
import hashlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from core.lab.protocol import (
    BackfillRequest,
    BackfillResult,
    Description,
    MonthRecord,
    Parameter,
    Pipeline,
    Progress,
    Services,
    TaskRecord,
    month_record,
    serve,
)

PIPELINE = Pipeline(
    name="two_csvs",
    tasks=["read", "load"],
    main="load",
    parameters={"source": Parameter("The folder of the CSV files"), "schema": Parameter("The schema of the table")},
)

Row = tuple[str | None, ...]
Write = Callable[[psycopg.Cursor[Any], sql.Composed, list[Row]], None]
"""Writes rows into a table; their values are in the order of its columns."""


def read(folder: str, month: str) -> tuple[list[Row], str]:
    """Return the rows of a month's file, and the file's SHA-256. Raise `OSError` when there is no such file."""
    path = Path(folder, f"orders_{month}.csv")
    with path.open(newline="") as text:
        rows = [tuple(value or None for value in (*row.values(), f"{month}-01")) for row in csv.DictReader(text)]
    return rows, hashlib.sha256(path.read_bytes()).hexdigest()


def load(schema: str, month: str, rows: list[Row], write: Write) -> int:
    """Replace the month's rows in one transaction; return their number."""
    table = sql.SQL("{}.orders").format(sql.Identifier(schema))
    with psycopg.connect(os.environ["TRIPTYCH_DSN"]) as connection, connection.cursor() as cursor:
        # Two months may create the table at the same moment.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [schema])
        cursor.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
        cursor.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} "
                "(order_id integer, ordered_on date, customer text, amount numeric(10, 2), source_month date)"
            ).format(table)
        )
        cursor.execute(sql.SQL("DELETE FROM {} WHERE source_month = %s").format(table), [f"{month}-01"])
        write(cursor, table, rows)
    return len(rows)


def run_month(month: str, request: BackfillRequest, write: Write, progress: Progress) -> MonthRecord:
    """Run both steps of a month; a month without a file fails, and holds back no other one."""
    progress(month, "running")
    receipts: dict[str, dict[str, Any]] = {}
    error = None
    try:
        rows, sha256 = read(request.source, month)
        receipts["read"] = {"rows": len(rows)}
        receipts["load"] = {"rows": load(request.schema, month, rows, write), "source_sha256": sha256}
    except (OSError, psycopg.Error) as problem:
        error = " ".join(str(problem).split())
    failed = next((task for task in PIPELINE.tasks if task not in receipts), None)
    tasks = [
        TaskRecord(task, "success", 1, rows=receipts[task]["rows"])
        if task in receipts
        else TaskRecord(task, "failed" if task == failed else "skipped", int(task == failed))
        for task in PIPELINE.tasks
    ]
    record = month_record(month, tasks, receipts, error, PIPELINE)
    progress(month, record.state, record.error or "", record)
    return record


def main(name: str, write: Write) -> None:
    """Answer the runner protocol as the orchestrator `name`, which writes rows with `write`."""

    def backfill(data: dict[str, Any], progress: Progress) -> BackfillResult:
        started, request = time.monotonic(), BackfillRequest.from_json(data)
        months = [run_month(month, request, write, progress) for month in request.months]
        return BackfillResult.of("1.0", started, months)

    description = Description(name, name.title(), "1.0", capabilities=[], pipelines=[PIPELINE])
    verbs = {
        "describe": lambda *_: description,
        "services": lambda *_: Services({}, []),
        "ready": lambda *_: {},
        "backfill": backfill,
    }
    sys.exit(serve(verbs))
