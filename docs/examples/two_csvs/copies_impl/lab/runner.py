"""The orchestrator `copies`: it writes rows with COPY."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from two_csvs import Row, main


def write(cursor: psycopg.Cursor[Any], table: sql.Composed, rows: list[Row]) -> None:
    """Copy all rows."""
    with cursor.copy(sql.SQL("COPY {} FROM STDIN").format(table)) as copy:
        for row in rows:
            copy.write_row(row)


if __name__ == "__main__":
    main("copies", write)
