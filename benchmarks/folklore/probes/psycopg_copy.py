"""Hand several things to psycopg 2's `copy_expert`, and ask psycopg 3 whether it has such a method.

Runs in Airflow's environment, which has both drivers, and prints one line of JSON.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import psycopg2

LINES = "1,a\n2,b\n"


def copied(cursor: Any, what: object) -> str:
    """Copy from something; return how many rows arrived, or the class of the error."""
    cursor.execute("TRUNCATE folklore_copied")
    try:
        cursor.copy_expert("COPY folklore_copied FROM STDIN (FORMAT csv)", what)
    except TypeError as error:
        return type(error).__name__
    cursor.execute("SELECT count(*) FROM folklore_copied")
    return f"{cursor.fetchone()[0]} rows"


def main() -> None:
    """Print what was found."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.csv"
        path.write_text(LINES)
        ways: dict[str, Callable[[], object]] = {
            "a file opened as text": path.open,
            "a file opened as bytes": lambda: path.open("rb"),
            "a StringIO": lambda: io.StringIO(LINES),
            "a path": lambda: path,
            "the text itself": lambda: LINES,
            "an iterator of lines": lambda: iter(LINES.splitlines(keepends=True)),
        }
        connection = psycopg2.connect(os.environ["TRIPTYCH_DSN"])
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("CREATE TEMPORARY TABLE folklore_copied (number integer, letter text)")
        found = {name: copied(cursor, way()) for name, way in ways.items()}
        connection.close()
    print(json.dumps({"psycopg2": found, "psycopg3_has_it": hasattr(psycopg.Cursor, "copy_expert")}))


if __name__ == "__main__":
    main()
