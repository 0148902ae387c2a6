"""The troubles that end by themselves: each is there as long as its block is executed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from threading import Event

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from core.waiting import until
from tests.faults.database.plan import STATEMENT_TIMEOUT_MS
from tests.faults.drills.phases import Hold
from tests.faults.drills.watch import Watch

PAUSE_S = 0.05

FULL_S = 60.0
"""How long it may take until no connection is free: the server forks a process for each."""


@contextmanager
def no_connection_free(dsn: str) -> Iterator[int]:
    """Hold every connection of the server that is free, and each that becomes free; yield how many that were at first.

    The role is a superuser, so those that the server reserves for superusers are taken too.
    """
    held: list[psycopg.Connection[tuple[object, ...]]] = []
    over, refused = Event(), Event()

    def take() -> None:
        while not over.is_set():
            try:
                held.append(psycopg.connect(dsn, application_name="holds a connection"))
            except psycopg.OperationalError as error:
                if "too many clients already" not in str(error):
                    raise
                refused.set()
                over.wait(PAUSE_S)

    with ThreadPoolExecutor(1) as pool:
        taker = pool.submit(take)
        try:
            until(lambda: refused.is_set() or taker.done() or None, FULL_S, PAUSE_S, "every connection, taken")
            yield len(held)
        finally:
            over.set()
            try:
                taker.result()
            finally:
                for each in held:
                    each.close()


def end_sessions(dsn: str) -> None:
    """End every session of a server but this one, and with each its transaction, as the server's death does."""
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            " AND pid <> pg_backend_pid()"
        )


FUNCTION = "disk_is_full"

SWITCH = f"""CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    {{}} RETURN NULL; END $$"""

RAISE = """RAISE EXCEPTION 'could not extend file "base/%": No space left on device', TG_RELID
    USING ERRCODE = 'disk_full', HINT = 'Check free disk space.';"""

TABLES = """SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"""


@contextmanager
def a_disk_that_may_fill(dsn: str) -> Iterator[None]:
    """Give each table of a database a trigger that does nothing until the disk is `full`; take them away at the end.

    A trigger needs a lock that no writer holds. That is had now, and not in the middle of a backfill: there only the
    triggers' function is replaced, which waits for nobody.
    """
    with closing(psycopg.connect(dsn, autocommit=True, options="-c lock_timeout=5s")) as connection:
        connection.execute(SWITCH.format("").encode())
        tables = [sql.Identifier(*names) for names in connection.execute(TABLES).fetchall()]
        create = sql.SQL(
            "CREATE OR REPLACE TRIGGER {0} BEFORE INSERT OR UPDATE OR DELETE ON {1} EXECUTE FUNCTION {0}()"
        )
        drop = sql.SQL("DROP TRIGGER IF EXISTS {0} ON {1}")
        name = sql.Identifier(FUNCTION)
        try:
            for table in tables:
                _until_free(connection, create.format(name, table))
            yield
        finally:
            for table in tables:
                _until_free(connection, drop.format(name, table))
            connection.execute(f"DROP FUNCTION {FUNCTION}".encode())


def _until_free(connection: psycopg.Connection[tuple[object, ...]], statement: sql.Composed) -> None:
    """Execute a statement; again, while others hold the lock that it needs."""

    def attempt() -> bool | None:
        try:
            connection.execute(statement)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            return None
        return True

    until(attempt, FULL_S, PAUSE_S, f"the lock for {statement.as_string()}")


@contextmanager
def full(dsn: str) -> Iterator[None]:
    """Refuse every write to a database that is prepared for it, as a server does whose disk is full."""
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        connection.execute(SWITCH.format(RAISE).encode())
        try:
            yield
        finally:
            connection.execute(SWITCH.format("").encode())


class ShortHold(Hold):
    """Holds the loads, which do not wait: sessions that begin after this one have a short statement_timeout.

    As of an administrator who sets one for the warehouse's database: it is of sessions that begin from then on.
    """

    def take(self) -> None:
        """Take the lock of the loads, then set the limit."""
        super().take()
        self._set(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")

    def release(self) -> None:
        """Set no limit, and let the backfill go on."""
        self._set("RESET statement_timeout")
        super().release()

    def step(self) -> int | None:
        """Return the process of a step that is held; None also when this question took too long."""
        with suppress(psycopg.errors.QueryCanceled):
            return super().step()
        return None

    def _set(self, setting: str) -> None:
        dsn = self.bench.lab.dsn
        database = sql.Identifier(str(conninfo_to_dict(dsn)["dbname"]))
        with psycopg.connect(dsn, autocommit=True, options="-c statement_timeout=0") as connection:
            connection.execute(sql.SQL("ALTER DATABASE {} ").format(database) + sql.SQL(setting))

    def _is_recorded(self, watch: Watch) -> bool:
        """Return True: a load that waits is ended before the orchestrator's record is asked again."""
        return True
