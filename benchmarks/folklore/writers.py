"""Several processes that write to one database at the same time, as the services of an orchestrator do.

Each transaction reads a row and then writes one: what a scheduler does to every state that it changes.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.harness.measure import Row

TRANSACTIONS = 200
"""Of each process: a second or two of work."""

WRITERS = 4

TIMEOUT_S = 60
"""How long SQLite waits for a lock: what the most patient of the three orchestrators tells it."""

PAUSE_S = 0.002
"""Between two transactions of a process, which has other work to do. Without it, one that is refused asks again while
the same commit is under way, and is refused again."""

Write = Callable[[str, int], int]


def _sqlite(path: str, number: int, begin: str) -> int:
    """Write to SQLite in WAL mode, which all three orchestrators choose; return how many transactions were refused."""
    connection = sqlite3.connect(path, timeout=TIMEOUT_S, isolation_level=None)
    refused = 0
    for _ in range(TRANSACTIONS):
        try:
            connection.execute(begin)
            connection.execute("SELECT count FROM states WHERE number = ?", (number,)).fetchone()
            connection.execute("UPDATE states SET count = count + 1 WHERE number = ?", (number,))
            connection.execute("COMMIT")
        except sqlite3.OperationalError:
            refused += 1
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        time.sleep(PAUSE_S)
    connection.close()
    return refused


def sqlite_deferred(path: str, number: int) -> int:
    """Begin as SQLite does unless it is told otherwise: as a reader, which becomes a writer later."""
    return _sqlite(path, number, "BEGIN")


def sqlite_immediate(path: str, number: int) -> int:
    """Begin as a writer, and wait for the others first."""
    return _sqlite(path, number, "BEGIN IMMEDIATE")


def postgresql(dsn: str, number: int) -> int:
    """Write the same to PostgreSQL."""
    refused = 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(TRANSACTIONS):
            try:
                with connection.transaction():
                    connection.execute("SELECT count FROM folklore_states WHERE number = %s", [number])
                    connection.execute("UPDATE folklore_states SET count = count + 1 WHERE number = %s", [number])
            except psycopg.Error:
                refused += 1
            time.sleep(PAUSE_S)
    return refused


def _together(write: Write, at: str, writers: int) -> Row:
    """Let some processes write at the same time; return how many transactions were refused, and how long it took."""
    # Not a fork, which would copy the connections of this process.
    context = multiprocessing.get_context("spawn")
    with context.Pool(writers) as pool:
        # The processes are there when the clock starts.
        pool.map(_ready, range(writers), chunksize=1)
        began = time.perf_counter()
        refused = pool.starmap(write, [(at, number) for number in range(writers)], chunksize=1)
        took_s = time.perf_counter() - began
    return {"transactions": writers * TRANSACTIONS, "refused": sum(refused), "took_s": round(took_s, 3)}


def _ready(number: int) -> int:
    time.sleep(0.1)
    return number


def _new_sqlite(path: Path) -> str:
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE states (number INTEGER PRIMARY KEY, count INTEGER)")
        connection.executemany("INSERT INTO states VALUES (?, 0)", [(number,) for number in range(WRITERS)])
    connection.close()
    return str(path)


def _new_postgresql(dsn: str) -> str:
    with psycopg.connect(dsn) as connection:
        connection.execute("DROP TABLE IF EXISTS folklore_states")
        connection.execute("CREATE TABLE folklore_states (number integer PRIMARY KEY, count integer)")
        numbers = [(number,) for number in range(WRITERS)]
        connection.cursor().executemany("INSERT INTO folklore_states VALUES (%s, 0)", numbers)
    return dsn


def compare(dsn: str, folder: Path) -> dict[str, Any]:
    """Return what one writer and several meet on SQLite, in both ways to begin, and on PostgreSQL."""
    return {
        "one_writer": _together(sqlite_deferred, _new_sqlite(folder / "one.db"), 1),
        "writers": WRITERS,
        "deferred": _together(sqlite_deferred, _new_sqlite(folder / "deferred.db"), WRITERS),
        "immediate": _together(sqlite_immediate, _new_sqlite(folder / "immediate.db"), WRITERS),
        "postgresql": _together(postgresql, _new_postgresql(dsn), WRITERS),
    }
