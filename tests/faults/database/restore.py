"""A copy of a database that is put back: what a restored backup does to whoever keeps records in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict


@dataclass
class Copy:
    """A copy of the database `name`, on the same server."""

    connection: psycopg.Connection[tuple[object, ...]]
    name: str

    @property
    def _copy(self) -> str:
        return f"{self.name}_copy"

    def take(self) -> None:
        """Copy the database as it is now. Its sessions are ended, and nobody may connect until it is done."""
        self._admit(False)
        try:
            self._end_sessions()
            self._execute("CREATE DATABASE {copy} TEMPLATE {name}")
        finally:
            self._admit(True)

    def put_back(self) -> None:
        """Replace the database by its copy."""
        self._execute("DROP DATABASE {name} WITH (FORCE)")
        self._execute("ALTER DATABASE {copy} RENAME TO {name}")

    def drop(self) -> None:
        """Drop the copy, if it was not put back."""
        self._execute("DROP DATABASE IF EXISTS {copy} WITH (FORCE)")

    def _admit(self, admits: bool) -> None:
        self._execute(f"ALTER DATABASE {{name}} ALLOW_CONNECTIONS {admits}")

    def _end_sessions(self) -> None:
        query = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
        self.connection.execute(query, [self.name])

    def _execute(self, statement: str) -> None:
        names = {"name": sql.Identifier(self.name), "copy": sql.Identifier(self._copy)}
        self.connection.execute(sql.SQL(statement).format(**names))


@contextmanager
def copied(dsn: str, of: str) -> Iterator[Copy]:
    """Yield what copies the database of the DSN `of`, from a session in the database of `dsn`."""
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        copy = Copy(connection, str(conninfo_to_dict(of)["dbname"]))
        try:
            yield copy
        finally:
            copy.drop()
