"""The raw tables and their partitions: create them, compare them with the declaration, lock them for a change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import psycopg
import tenacity
from psycopg import sql

from core import ledger
from core.database import Connection, connect, lock, table_not_free
from core.datasets import Dataset
from core.errors import SchemaDrift
from core.load.order import Load
from core.settings import settings

_log = logging.getLogger(__name__)

SWAP_LOCK = "250ms"
"""How long a swap may queue for the table's lock. Later readers wait at most that long, and then go first."""


# --- creating -------------------------------------------------------------------------------------------------------


def exists(connection: Connection, *name: str) -> bool:
    """Return whether there is a relation of that name."""
    written = sql.Identifier(*name).as_string(connection)
    return connection.execute("SELECT to_regclass(%s)", [written]).fetchone() != (None,)


def create(connection: Connection, schema: str, datasets: Iterable[Dataset]) -> None:
    """Create what is missing of the schema, the tables of `datasets`, and the ledger."""
    # Held until the commit: loaders that arrive in between find all tables, or wait.
    lock(connection, "schema", schema)
    name = sql.Identifier(schema)
    # Read the catalog's table: to_regnamespace may remember from before the lock that there is no such schema.
    if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is None:
        # IF NOT EXISTS would need the right to create schemas even where the schema exists.
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    for dataset in datasets:
        table = sql.Identifier(schema, dataset.table)
        tail = sql.SQL("PARTITION BY LIST (source_month)" if dataset.monthly else "")
        connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}) {}").format(table, columns(dataset), tail))
    ledger.create(connection, schema)


def columns(dataset: Dataset) -> sql.Composed:
    """Return the column definitions of the dataset's table."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name), sql.SQL(column.kind.postgres), sql.SQL("" if column.nullable else " NOT NULL")
        )
        for column in dataset.table_columns
    )


# --- comparing with the declaration ---------------------------------------------------------------------------------


def check_catalog(connection: Connection, dataset: Dataset, table: sql.Identifier) -> list[str]:
    """Compare names and types with the catalog before the first byte: binary COPY checks widths, not types.

    Return the columns that are NOT NULL in the table, and nullable in the declaration. Raise `SchemaDrift` on a
    difference.
    """
    query = """SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
               WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
    found = connection.execute(query, [table.as_string(connection)]).fetchall()
    actual = [(name, kind) for name, kind, _ in found]
    declared = [(column.name, column.kind.postgres) for column in dataset.table_columns]
    if actual != declared:
        raise SchemaDrift(
            f"{table.as_string(connection)} is not the table that {dataset.name} declares: "
            f"{sorted({str(pair) for pair in {*actual} ^ {*declared}})[:4] or 'another order'}; "
            "load into another --schema, or drop this one"
        )
    nullable = {column.name for column in dataset.table_columns if column.nullable}
    return [name for name, _, is_required in found if is_required and name in nullable]


def allow_nulls(order: Load, names: Iterable[str]) -> None:
    """Drop NOT NULL where an earlier declaration had it: a partition without it can't be attached to a table with it.

    On a connection of its own: the load's transaction would keep readers away from the table until its commit.
    """
    drop = sql.SQL(", ").join(sql.SQL("ALTER {} DROP NOT NULL").format(sql.Identifier(name)) for name in names)
    with connect("relax") as connection:
        # The partitions too: each has a constraint of its own, and not every strategy creates them again.
        tables = [order.table, *(sql.Identifier(*name) for name in partitions(connection, order.table))]

        def change() -> None:
            for table in tables:
                connection.execute(sql.SQL("ALTER TABLE {} {}").format(table, drop))

        with_table_lock(connection, order, change)


# --- partitions -----------------------------------------------------------------------------------------------------


def partitions(connection: Connection, table: sql.Identifier) -> list[tuple[str, str]]:
    """Return the schema and name of every partition."""
    query = """SELECT nspname::text, relname::text FROM pg_inherits
               JOIN pg_class ON pg_class.oid = inhrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
               WHERE inhparent = %s::regclass ORDER BY relname"""
    return connection.execute(query, [table.as_string(connection)]).fetchall()


def is_attached(connection: Connection, order: Load) -> bool:
    """Return whether the month's partition exists and belongs to the table."""
    query = "SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass(%s) AND inhparent = to_regclass(%s)"
    names = [name.as_string(connection) for name in (order.partition, order.table)]
    return connection.execute(query, names).fetchone() is not None


# --- locking --------------------------------------------------------------------------------------------------------


def with_table_lock(connection: Connection, order: Load, change: Callable[[], None]) -> None:
    """Run a catalog change that must lock the table; yield to readers and try again until it gets the lock.

    A waiting ACCESS EXCLUSIVE makes every later reader wait behind it. So it waits only for `SWAP_LOCK`, and then its
    savepoint is rolled back; the rows already copied are not. Raise `Busy` after `Settings.lock_wait_s`.
    """

    def announce(state: tenacity.RetryCallState) -> None:
        if state.attempt_number == 1:
            limit_s = settings().lock_wait_s
            _log.info("%s is in use: trying for up to %g s to lock it", order.dataset.table, limit_s)

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)),
        wait=tenacity.wait_random(0.05, 0.25),
        stop=tenacity.stop_after_delay(settings().lock_wait_s),
        before_sleep=announce,
    )
    try:
        for attempt in retrying:
            with attempt, connection.transaction():
                connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(SWAP_LOCK))
                change()
    except tenacity.RetryError as error:
        raise table_not_free(connection, order.schema, order.dataset.table) from error
