"""The orchestrators' own databases: each keeps its records in one of its own, on the warehouse's server."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from core.database import Connection, connect_bare, resolved
from core.errors import TriptychError, UsageError, quoted
from core.settings import Settings


def name_of(settings: Settings, orchestrator: str) -> str:
    """Return the name of the orchestrator's database. Two state folders may share one server of the user's."""
    return f"triptych_{orchestrator}_{hashlib.sha256(bytes(settings.home)).hexdigest()[:8]}"


def create(settings: Settings, orchestrator: str, dsn: str) -> tuple[str, bool]:
    """Create the orchestrator's database unless it exists; return its address, and whether it is new."""
    name = name_of(settings, orchestrator)
    with connect_bare(dsn, autocommit=True) as connection:
        exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        if not exists:
            _create(connection, orchestrator, name)
    return f"{_server(dsn)}/{name}", not exists


def _create(connection: Connection, orchestrator: str, name: str) -> None:
    try:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege as error:
        user = quoted(connection.info.user)
        raise UsageError(
            f"{orchestrator} keeps its records in a database of its own, and {user} may not create one: "
            f"ALTER ROLE {user} CREATEDB"
        ) from error


def _server(dsn: str) -> str:
    """Return ``user:password@host:port``."""
    parts = conninfo_to_dict(dsn)
    host, port = str(parts.get("host", "localhost")), parts.get("port", 5432)
    if host.startswith("/"):
        raise UsageError(
            "TRIPTYCH_DSN names a socket folder, and the orchestrators need a host and a port: "
            "postgresql://user:password@host:port/db"
        )
    user = ":".join(quote(str(parts[key]), safe="") for key in ("user", "password") if key in parts)
    return f"{user}@{host}:{port}"


def drop(dsn: str, names: Sequence[str]) -> list[str]:
    """Drop those of the databases that exist; return a line for each, which also names those that stay."""
    lines, left = [], list(names)
    try:
        with connect_bare(resolved(dsn), autocommit=True) as connection:
            query = "SELECT datname::text FROM pg_database WHERE datname = ANY(%s) ORDER BY 1"
            left = [name for (name,) in connection.execute(query, [left]).fetchall()]
            for name in tuple(left):
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
                lines.append(f"database {name}: dropped")
                left.remove(name)
    except TriptychError as error:
        lines.append(f"databases {', '.join(left)} stay, if they exist: {error}")
    return lines
