"""The four ways to publish a month, and the one for a lookup. Each runs inside the one transaction of a load."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from psycopg import sql

from core.database import Connection
from core.load import suspect, tables
from core.load.copy import copy, fill, record
from core.load.order import Load, Loaded
from core.load.tables import is_attached
from core.run import check_strategy

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Strategy:
    """A way to publish a month. All of them produce the same rows, digest and ledger, in any mixture.

    Under each of them, every reader sees whole months, at any isolation level. `older_snapshot` is what differs: which
    version of a replaced month a REPEATABLE READ transaction sees that began before the load and first reads the month
    after it. `alone`: it also writes other months' rows, so no other load of the table may run at the same time.
    """

    publish: Callable[[Connection, Load], Loaded]
    older_snapshot: Literal["old", "new"] = "old"
    alone: bool = False

    @property
    def trade_offs(self) -> str:
        """What the strategy costs and what it spares, in one paragraph."""
        return inspect.cleandoc(self.publish.__doc__ or "")


def strategy(name: str) -> Strategy:
    """Return the strategy called `name`; raise `UsageError` when there is none."""
    return STRATEGIES[check_strategy(name)]


# --- swap -----------------------------------------------------------------------------------------------------------


def _swap(connection: Connection, order: Load) -> Loaded:
    """Build the month in a side table, then swap it in as the partition. Readers wait only for the change of the
    catalog, never for rows; there are no dead rows; WAL is written once, or not at all under `wal_level=minimal`. The
    price is a moment's ACCESS EXCLUSIVE on the table when it replaces a month: a query that does not end holds it up,
    and a view over the partition itself prevents it.
    """
    # Before the exchange nothing may lock the table, not even CREATE TABLE ... (LIKE it): two swaps that both hold a
    # lock on it, and want a stronger one, deadlock.
    side_name = f"{order.partition_name}_side"
    side = sql.Identifier(order.schema, side_name)
    # Because of the CHECK, ATTACH need not read the table to prove that all its rows belong to the partition.
    create = sql.SQL("CREATE TABLE {} ({}, CONSTRAINT is_month CHECK (source_month = {}))")
    connection.execute(create.format(side, tables.columns(order.dataset), order.bound))
    done = fill(connection, order, side_name, freeze=is_attached(connection, order))
    tables.with_table_lock(connection, order, lambda: _exchange(connection, order, side))
    return done


def _exchange(connection: Connection, order: Load, side: sql.Identifier) -> None:
    if is_attached(connection, order):
        connection.execute(sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(order.table, order.partition))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(order.partition))
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(side, sql.Identifier(order.partition_name)))
    attach = sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})")
    connection.execute(attach.format(order.table, order.partition, order.bound))
    connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT is_month").format(order.partition))


# --- delete-append --------------------------------------------------------------------------------------------------


def _delete_append(connection: Connection, order: Load) -> Loaded:
    """Delete the month's rows and append the file's, in the existing partition. It takes no lock that a reader would
    notice, and waits for none; views, indexes and privileges on the partition stay. The price: every replaced row is
    dead until a vacuum and slows readers down until then, and WAL is written for both, two to three times that of a
    swap. A new month has nothing to delete, and is built in a side table, so that the table is not locked while rows
    arrive.
    """
    if not is_attached(connection, order):
        return _swap(connection, order)
    connection.execute(sql.SQL("DELETE FROM {}").format(order.partition))
    return fill(connection, order, order.partition_name)


# --- overwrite ------------------------------------------------------------------------------------------------------


def _overwrite(connection: Connection, order: Load) -> Loaded:
    """Rewrite the whole table: the month from its file, every other month from its existing rows. Its one merit is that
    it does not need to know which rows changed. The price is paid for every month that is loaded, not for
    the one that changed: time, WAL, and as many dead rows as the table has, so it doubles on disk until a vacuum; and
    months can't be loaded side by side. Readers neither wait nor see part of it, because rows are deleted and inserted
    in one transaction. The usual TRUNCATE would make them wait for the whole load, and show an older snapshot an empty
    table; a new table under the old name would leave every view on the old one.
    """
    # Month by month, because the rows between DELETE and INSERT are kept in a temporary file.
    rewrite = sql.SQL("WITH old AS (DELETE FROM {0} RETURNING *) INSERT INTO {0} SELECT * FROM old")
    for schema, name in tables.partitions(connection, order.table):
        if (schema, name) != (order.schema, order.partition_name):
            connection.execute(rewrite.format(sql.Identifier(schema, name)))
    return _delete_append(connection, order)


# --- upsert ---------------------------------------------------------------------------------------------------------

# Visible to this session only, written without WAL, dropped at the commit.
_ARRIVED = ("pg_temp", "arrived")


def _upsert(connection: Connection, order: Load) -> Loaded:
    """Copy the file into a temporary table and MERGE it on the rows' identity, their number in the file: rows that
    differ in any bit are updated, missing ones inserted, those beyond the new file's end deleted, equal ones left
    alone. Where a correction changes few rows, it writes few, and leaves few dead. Where most rows changed it costs
    more than deleting and appending them: all are read, compared, and written twice. It takes no lock that a reader
    would notice. A row inserted near the top of a file moves all that follow, and then every one of them has changed.
    """
    if not is_attached(connection, order):
        return _swap(connection, order)
    arrived = sql.Identifier(*_ARRIVED)
    create = sql.SQL("CREATE TABLE {} ({}) ON COMMIT DROP")
    connection.execute(create.format(arrived, tables.columns(order.dataset)))
    content = copy(connection, order, *_ARRIVED)
    connection.execute(_merge(order, arrived))
    count = sql.SQL("SELECT count(*) FROM {}").format(order.partition)
    if connection.execute(count).fetchone() != (content.digest.rows,):
        # Somebody had duplicated a row number by hand: both rows are now equal to the new one.
        _log.info("%s had a row number twice: replacing all of its rows", order.partition_name)
        connection.execute(sql.SQL("DELETE FROM {}").format(order.partition))
        connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(order.partition, arrived))
    return record(connection, order, content)


def _merge(order: Load, arrived: sql.Identifier) -> sql.Composed:
    """Return the statement that makes the partition equal to `arrived`, which holds the same month.

    MERGE joins the two once, and needs no index, which every other load of the month would have to pay for (a btree on
    the target makes COPY half as slow again); the loader ensures that each row number occurs once. ``*<>`` compares the
    stored bits: to ``<>``, 0.0 equals -0.0, and the digests would then differ.
    """
    names = [sql.Identifier(column.name) for column in order.dataset.table_columns]
    return sql.SQL(
        """
        MERGE INTO {partition} AS there USING {arrived} AS new ON there.row_number = new.row_number
        WHEN MATCHED AND there.* *<> new.* THEN UPDATE SET {changes}
        WHEN NOT MATCHED BY TARGET THEN INSERT ({columns}) VALUES ({values})
        WHEN NOT MATCHED BY SOURCE THEN DELETE
        """
    ).format(
        partition=order.partition,
        arrived=arrived,
        changes=sql.SQL(", ").join(sql.SQL("{0} = new.{0}").format(name) for name in names),
        columns=sql.SQL(", ").join(names),
        values=sql.SQL(", ").join(sql.SQL("new.{}").format(name) for name in names),
    )


# --- a lookup -------------------------------------------------------------------------------------------------------


def _replace(connection: Connection, order: Load) -> Loaded:
    """Replace a small table that is not partitioned: one DELETE, one COPY, one commit."""
    before = suspect.keys(connection, order)
    connection.execute(sql.SQL("DELETE FROM {}").format(order.table))
    done = fill(connection, order, order.dataset.table)
    return replace(done, warnings=order.suspected(suspect.lookup(connection, order, before)))


STRATEGIES = {
    "swap": Strategy(_swap, older_snapshot="new"),
    "delete-append": Strategy(_delete_append),
    "overwrite": Strategy(_overwrite, alone=True),
    "upsert": Strategy(_upsert),
}
"""The implementation of each of `core.run.STRATEGIES`."""

REPLACE = Strategy(_replace)
"""How a lookup is published, whatever the strategy for months is."""
