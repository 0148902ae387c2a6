"""One way to reach PostgreSQL: connections that say who they are, locks by name, errors by class."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core.errors import Busy, DatabaseUnavailable, DiskFull, PermanentError, TriptychError, UsageError, quoted
from core.settings import settings

log = logging.getLogger(__name__)

Connection = psycopg.Connection[tuple[Any, ...]]

SERVER_FLOOR = 180000
"""PostgreSQL 18: the digest needs a hash of raw bytes (``hashbyteaextended``), and the ledger NULLS NOT DISTINCT."""

# NAMEDATALEN - 1; PostgreSQL would cut a longer name silently
_IDENTIFIER_BYTES = 63

MOMENT_S = 1.0
"""A wait for a lock that takes longer is logged."""

RESTART_S = 60.0
"""How long a restart of the server may take. A step's retries bridge a few seconds only, and a busy server takes longer
to write its last checkpoint."""

RESTART_PAUSE_S = 0.2

# Settings that a role or a database may have changed, and that our results depend on: only our own qualified names and
# built-in functions, a new snapshot for each statement (see `lock`), dates as psycopg reads them, no endless wait. Not
# statement_timeout and the like: no result depends on them, and whoever set one for the role may mean us. The message
# says how to exempt Triptych (see `limit_reached`). And one for speed: the planner counts a digest's functions as if
# they cost nothing, so it would not let a second process help with a month of 60,000 rows, which takes 60 ms alone;
# starting one takes 2 to 5 ms.
_SESSION = (
    "-c parallel_setup_cost=100 -c search_path=pg_catalog -c default_transaction_isolation=read\\ committed "
    "-c datestyle=ISO -c client_min_messages=warning -c lock_timeout={lock_timeout}"
)


@contextmanager
def connect(purpose: str, *, autocommit: bool = False, dsn: str | None = None) -> Iterator[Connection]:
    """Connect to the warehouse: `dsn`, or what the settings say; `purpose` and our pid show as ``application_name``.

    Every psycopg error that leaves the block is one of `core.errors`.
    """
    dsn = dsn or settings().require_dsn()
    with (
        translated(dsn),
        _admitted(
            dsn,
            autocommit=autocommit,
            connect_timeout=_parts(dsn).get("connect_timeout", 10),
            application_name=f"triptych pid={os.getpid()} {purpose}"[:_IDENTIFIER_BYTES],
            # The digest takes text as the client's encoding writes it, and PGCLIENTENCODING may say another.
            client_encoding="utf8",
            # A prepared statement fails once DDL has changed what it names, and the loader swaps tables.
            prepare_threshold=None,
            options=f"{_parts(dsn).get('options', '')} {_SESSION.format(lock_timeout=_lock_timeout())}",
        ) as connection,
    ):
        if (version := connection.info.server_version) < SERVER_FLOOR:
            raise UsageError(
                f"{where(dsn)} is version {version // 10000}; Triptych needs {SERVER_FLOOR // 10000} or newer"
            )
        yield connection


def _admitted(dsn: str, **options: Any) -> Connection:
    """Connect; while the server says that it is about to start or to stop, ask again, for `RESTART_S` at most."""
    end = time.monotonic() + RESTART_S
    while True:
        try:
            return psycopg.connect(dsn, **options)
        except psycopg.OperationalError as error:
            # A refused connection has no SQLSTATE: the text is all that tells 57P03, cannot_connect_now.
            if not re.search(r"the database system is (starting up|shutting down)", str(error)):
                raise
            if time.monotonic() > end:
                raise
        time.sleep(RESTART_PAUSE_S)


@contextmanager
def connect_bare(dsn: str, *, autocommit: bool = False) -> Iterator[Connection]:
    """Connect to a server with its own settings, for work that is not on the warehouse's tables.

    Every psycopg error that leaves the block is one of `core.errors`.
    """
    with (
        translated(dsn),
        psycopg.connect(
            dsn, autocommit=autocommit, connect_timeout=_parts(dsn).get("connect_timeout", 10)
        ) as connection,
    ):
        yield connection


def resolved(dsn: str) -> str:
    """Return `dsn` with all that libpq adds to it from PG* variables, a service file and a password file.

    It is for processes that have none of these. This connects, because libpq reads the password file only when a server
    asks for a password.
    """
    with connect_bare(dsn) as connection:
        info = connection.info
        parts: dict[str, str | int] = dict(info.get_parameters())
        parts |= {
            "host": info.host,
            "port": info.port,
            "user": info.user,
            "dbname": info.dbname,
            "password": info.password,
        }
        return make_conninfo("", **{key: value for key, value in parts.items() if value and key not in _LOOKED_UP})


def libpq_variables() -> dict[str, str]:
    """Return the keywords of a DSN that libpq takes from the environment as well, with their variables."""
    return {one.keyword.decode(): one.envvar.decode() for one in psycopg.pq.Conninfo.get_defaults() if one.envvar}


_LOOKED_UP = ("service", "servicefile", "passfile")


def where(dsn: str) -> str:
    """Return the server that `dsn` names, without its secrets: ``PostgreSQL at host:port/database``."""
    return "PostgreSQL at {}/{}".format(*address(dsn))


def address(dsn: str) -> tuple[str, str]:
    """Return the server that `dsn` names as ``host:port``, and its database."""
    parts = _parts(dsn)
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}", str(parts.get("dbname", ""))


def _parts(dsn: str) -> dict[str, Any]:
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # libpq's own message repeats the string, and with it the password
        parts = {"port": "?"}
    # An unescaped / or @ ends the password early: the rest of it is then taken for a port, host or database.
    if not re.fullmatch(r"[0-9,]*", str(parts.get("port", ""))) or "@" in f"{parts.get('host')}{parts.get('dbname')}":
        raise UsageError(
            "TRIPTYCH_DSN is not a DSN: write postgresql://user:password@host:port/database, "
            "and in the password %40 for @, %2F for /, %25 for %"
        )
    return parts


def _lock_timeout() -> str:
    # 0 would mean for ever
    return f"{max(1, int(settings().lock_wait_s * 1000))}ms"


@contextmanager
def translated(dsn: str) -> Iterator[None]:
    """Raise psycopg's errors as ours: what may end by itself is transient, the rest is not."""
    server = where(dsn)
    try:
        yield
    except psycopg.Error as error:
        raise _translation(server, error) from error


def _translation(server: str, error: psycopg.Error) -> TriptychError:
    said = f"{server}: {_line(error)}"
    if remedy := limit_reached(str(error)):
        return DatabaseUnavailable(f"{said}; {remedy}")
    if isinstance(error, _BUSY):
        return Busy(f"{said}; another session holds a lock")
    if isinstance(error, psycopg.errors.DiskFull):
        return DiskFull(f"{said}; make room there, then run again")
    if isinstance(error, psycopg.errors.QueryCanceled):
        return DatabaseUnavailable(f"{said}; run again, unless somebody canceled it on purpose")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        if _REFUSED.search(said):
            return UsageError(f"{said}; check TRIPTYCH_DSN")
        return DatabaseUnavailable(f"{said}; check that it runs, and TRIPTYCH_DSN")
    return PermanentError(said)


def limit_reached(message: str) -> str | None:
    """Return what to do when `message`, which the server sent, is about one of its limits; else None.

    The English text decides: libpq has no SQLSTATE for a connection that was refused, dbt has none at all, and
    statement_timeout shares its own with every canceled statement.
    """
    if found := re.search(r"due to (statement|transaction|idle-in-transaction|idle-session) timeout", message):
        name = _TIMEOUTS[found[1]]
        return (
            f"{name} ended it: raise it for this role (ALTER ROLE ... SET {name} = 0 is no limit), or for Triptych "
            f"alone (TRIPTYCH_DSN=...?options=-c%20{name}%3D0)"
        )
    if re.search(r"too many connections for (role|database)", message):
        return f"{_NO_CONNECTION}, or raise the limit (ALTER ROLE or ALTER DATABASE ... CONNECTION LIMIT)"
    if re.search(
        r"too many clients already|remaining connection slots are reserved|no more connections allowed", message
    ):
        return f"{_NO_CONNECTION}, or raise max_connections"
    return None


_TIMEOUTS = {
    "statement": "statement_timeout",
    "transaction": "transaction_timeout",
    "idle-in-transaction": "idle_in_transaction_session_timeout",
    "idle-session": "idle_session_timeout",
}
_NO_CONNECTION = "no connection is free: run fewer orchestrators at a time, or fewer --jobs"


_BUSY = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.ObjectInUse,
)

# libpq has no SQLSTATE for a connection that failed. Where the server speaks another language, it is retried in vain.
_REFUSED = re.compile(r'FATAL: +(password authentication failed|(database|role) ".*" does not exist)')


def _line(error: Exception) -> str:
    """Return the line that says why: the server's, where libpq tried several addresses, else the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "FATAL:" in line), lines[0] if lines else type(error).__name__)


def check_schema_name(schema: str) -> str:
    """Return `schema`; raise `UsageError` unless it is a name that nothing has to quote (docs/decisions/0011)."""
    if not _SCHEMA_NAME.fullmatch(schema):
        raise UsageError(
            f"{quoted(repr(schema))} can't be a schema name: "
            "write 1 to 40 characters of a-z, 0-9 and _, and no digit first"
        )
    if schema.startswith("pg_") or schema == "information_schema":
        raise UsageError(f"{schema!r} can't be a schema name: PostgreSQL keeps it for itself")
    return schema


_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")


def lock_key(*words: str) -> int:
    """Return the advisory lock for a name: 64 bits of its SHA-256, signed as PostgreSQL wants it."""
    return int.from_bytes(hashlib.sha256("\0".join(("triptych", *words)).encode()).digest()[:8], "big", signed=True)


def lock(connection: Connection, *words: str, shared: bool = False) -> None:
    """Take the advisory lock named `words` until the transaction ends, alone or with others who share it.

    Raise `Busy` when it is not free within `Settings.lock_wait_s`. Statements after it see what its last holder
    committed, because READ COMMITTED takes a new snapshot for each.
    """
    try:
        query = "SELECT pg_advisory_xact_lock_shared(%s)" if shared else "SELECT pg_advisory_xact_lock(%s)"
        with logged_wait(f"the lock {' '.join(words)}"):
            connection.execute(query, [lock_key(*words)])
    except psycopg.errors.LockNotAvailable as error:
        raise lock_not_free(connection, *words) from error


@contextmanager
def logged_wait(what: str) -> Iterator[None]:
    """Log how long the block waited for `what`, if that was longer than a moment. A wait in vain raises instead."""
    started = time.monotonic()
    yield
    if (waited_s := time.monotonic() - started) > MOMENT_S:
        log.info("waited %.1f s for %s", waited_s, what)


def lock_not_free(connection: Connection, *words: str) -> Busy:
    """Return the error for the advisory lock named `words`, which was not free in time."""
    is_ours = sql.SQL("locktype = 'advisory' AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = {}")
    return _not_free(connection, " ".join(words), is_ours.format(lock_key(*words)))


def table_not_free(connection: Connection, schema: str, table: str) -> Busy:
    """Return the error for a table that could not be locked in time."""
    name = sql.Identifier(schema, table).as_string(connection)
    return _not_free(connection, table, sql.SQL("relation = to_regclass({})").format(name))


def _not_free(connection: Connection, name: str, is_ours: sql.Composed) -> Busy:
    """Return the error with the holders: sessions of another run, of other months of this command, or of readers."""
    holders = _holders(connection, is_ours)
    held = f", and {' and '.join(holders)} {'holds' if len(holders) == 1 else 'hold'} it" if holders else ""
    return Busy(
        f"{name}: the lock was not free for {settings().lock_wait_s:g} s{held}; run again when it is, or raise "
        "TRIPTYCH_LOCK_WAIT_S"
    )


def _holders(connection: Connection, is_ours: sql.Composed) -> list[str]:
    """Return up to three sessions that hold a lock.

    This asks in a session of its own: the transaction that waited is aborted, or holds locks itself.
    """
    query = sql.SQL(
        """
        SELECT DISTINCT CASE WHEN starts_with(application_name, 'triptych ') THEN application_name
            ELSE format('%s (pid %s)', coalesce(nullif(application_name, ''), 'a session'), pid) END
        FROM pg_locks JOIN pg_stat_activity USING (pid)
        WHERE granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND pid <> {} AND {} ORDER BY 1 LIMIT 3
        """
    )
    try:
        with connect_bare(make_conninfo(connection.info.dsn, password=connection.info.password)) as other:
            found = other.execute(query.format(connection.info.backend_pid, is_ours))
            return [quoted(holder, 2 * _IDENTIFIER_BYTES) for (holder,) in found]
    except TriptychError:
        # The message does without them
        return []
