"""Schemas that a command makes for itself and drops again.

A comment on the schema says so. One that has it may be dropped; any other schema of that name is somebody's own.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from core.database import Connection
from core.errors import UsageError

MARK = "made by triptych migrate, which drops it: keep nothing here"


def check(connection: Connection, schemas: Iterable[str]) -> None:
    """Raise `UsageError` when one of the schemas exists and is not one that a command made for itself."""
    for schema in schemas:
        if _comment(connection, schema) not in (None, MARK):
            raise UsageError(
                f"schema {schema!r} exists, and `triptych migrate` needs the name for a schema of its own: "
                "choose another --schema, or rename that one"
            )


def make(connection: Connection, schema: str) -> None:
    """Make an empty schema in place of one that an earlier command left. Raise `UsageError` as `check` does."""
    drop(connection, [schema])
    connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    connection.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(sql.Identifier(schema), sql.Literal(MARK)))


def drop(connection: Connection, schemas: Iterable[str]) -> None:
    """Drop the schemas, with all that is in them. Raise `UsageError`, and drop none, as `check` does."""
    schemas = list(schemas)
    check(connection, schemas)
    for schema in schemas:
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


def _comment(connection: Connection, schema: str) -> str | None:
    """Return the comment on a schema: empty without one, None when there is no such schema."""
    query = "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = %s"
    row = connection.execute(query, [schema]).fetchone()
    return None if row is None else str(row[0])
