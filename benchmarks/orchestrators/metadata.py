"""What an orchestrator asks of its metadata database, and how that grows.

PostgreSQL itself counts the statements (`pg_stat_statements`), of whichever process: every one that it executed in the
orchestrator's own database, BEGIN and COMMIT included. Growth is in bytes of the whole database, with indexes and what
no vacuum has returned yet, and in rows of all tables, which are counted one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from benchmarks.harness.measure import Row
from core.lab.metadata import name_of
from core.lab.postgres import DATABASE, Postgres
from core.lab.registry import Orchestrator
from core.lab.session import Lab
from core.settings import Settings

SETTINGS = {
    "shared_preload_libraries": "pg_stat_statements",
    # The default is 5,000 different statements; those beyond it, and their counts, are dropped.
    "pg_stat_statements.max": "20000",
    "pg_stat_statements.save": "off",
}
"""With these the server counts. They are kept with the cluster, and hold for every session on it."""

CALLS = """
SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements(false)
WHERE dbid = (SELECT oid FROM pg_database WHERE datname = %s)
"""

TABLES = """
SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""


def counted(at: Settings) -> None:
    """Make the embedded server of a state folder, and let it count the statements of each database from now on."""
    server = Postgres(at.home / "postgres", at.pg_bin)
    dsn = server.start()
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            for name, value in SETTINGS.items():
                connection.execute(
                    sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(*name.split(".")), sql.Literal(value))
                )
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    finally:
        server.stop()


@dataclass
class Metadata:
    """Meters the statements in one database, and how much it grows."""

    dsn: str
    """Of the warehouse, on the same server."""
    name: str
    _before: tuple[int, int, int] = (0, 0, 0)

    @classmethod
    def of(cls, lab: Lab, orchestrator: Orchestrator, at: Settings) -> Metadata:
        """Return the meter of an orchestrator's database; the baseline has none, and so no statements."""
        return cls(lab.dsn, name_of(at, orchestrator.name))

    def begin(self) -> None:
        """Remember what there is. Our own counting is no statement of the orchestrator's."""
        size, rows = self._size()
        self._before = size, rows, self._statements()

    def end(self) -> Row:
        """Return what was added."""
        statements = self._statements() - self._before[2]
        size, rows = self._size()
        growth = {"metadata_kb": round((size - self._before[0]) / 1024, 1), "metadata_rows": rows - self._before[1]}
        return {"statements": statements, **growth}

    def _statements(self) -> int:
        with psycopg.connect(self.dsn, dbname=DATABASE) as connection:
            return int(_one(connection.execute(CALLS, [self.name])))

    def _size(self) -> tuple[int, int]:
        """Return the bytes and the rows of the database; nothing of one that does not exist."""
        with psycopg.connect(self.dsn) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [self.name]).fetchall():
                return 0, 0
        with psycopg.connect(self.dsn, dbname=self.name) as connection:
            tables = connection.execute(TABLES).fetchall()
            count = sql.SQL("SELECT count(*) FROM {}")
            rows = [_one(connection.execute(count.format(sql.Identifier(*table)))) for table in tables]
            return int(_one(connection.execute("SELECT pg_database_size(%s)", [self.name]))), sum(rows)


def _one(cursor: psycopg.Cursor[tuple[int, ...]]) -> int:
    row = cursor.fetchone()
    assert row is not None
    return row[0]
