"""The orchestrator `inserts`: it writes rows with INSERT."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from two_csvs import Row, main


def write(cursor: psycopg.Cursor[Any], table: sql.Composed, rows: list[Row]) -> None:
    """Insert all rows."""
    cursor.executemany(sql.SQL("INSERT INTO {} VALUES (%s, %s, %s, %s, %s)").format(table), rows)


if __name__ == "__main__":
    main("inserts", write)
