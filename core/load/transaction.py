"""One transaction: a file's rows and its ledger row, or nothing.

    begin    draw a fencing token, before the file is fetched
    load     advisory lock on (schema, dataset, month)
             -> the ledger decides: superseded, unchanged, or to be loaded
             -> rows by binary COPY, and at the same time their digest
             -> the rows decide: what was meant, or suspect (`core.load.suspect`)
             -> ledger row, publication, commit

Because it is one transaction, a loader that dies at any point leaves everything as it was before, and nothing to clean
up.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace

from psycopg import sql

from core import ledger
from core.database import Connection, check_schema_name, connect, lock
from core.datasets import GREEN, ZONES, Dataset
from core.errors import Busy, UsageError, printable
from core.ledger import Entry
from core.load import suspect, tables
from core.load.order import Load, Loaded
from core.load.strategies import REPLACE, Strategy, strategy
from core.run import counted

_log = logging.getLogger(__name__)


def begin(schema: str, trips: Dataset = GREEN) -> int:
    """Create what is missing of a schema that holds the monthly dataset `trips`; return this attempt's fencing token.

    Call it before the file is fetched: what another attempt publishes from then on may be the newer version. Raise
    `UsageError` when the schema holds another dataset. Of two that load into a new schema at the same time, the second
    one finds a table that is not its own (`tables.check_catalog`).
    """
    check_schema_name(schema)
    with connect("begin") as connection:
        check_holds(connection, schema, trips.name)
        exist = all(tables.exists(connection, schema, name) for name in (trips.table, ZONES.table, "load_fence"))
        if not (exist and ledger.is_current(connection, schema)):
            tables.create(connection, schema, (trips, ZONES))
        return ledger.next_fence(connection, schema)


def check_holds(connection: Connection, schema: str, dataset: str) -> None:
    """Raise `UsageError` when the ledger of `schema` has months of another dataset than `dataset`."""
    held = ledger.datasets(connection, schema) if tables.exists(connection, schema, "load_ledger") else []
    if others := [name for name in held if name != dataset]:
        raise UsageError(
            f"schema {schema!r} holds {', '.join(others)}, and a schema holds one dataset: "
            f"name another schema for {dataset}"
        )


def load(order: Load) -> Loaded:
    """Publish a file, unless the ledger shows that there is nothing to do.

    Raise `SchemaDrift`, `SuspectFile` or `BadFile` for the file, and `Busy` or `DatabaseUnavailable` for the server:
    then nothing is published.
    """
    chosen = strategy(order.strategy) if order.dataset.monthly else REPLACE
    started = time.monotonic()
    with connect(f"{order.loader} {order.dataset.name} {order.month or ''}") as connection, connection.transaction():
        done = _decide(connection, order, chosen)
    _log_outcome(order, done, time.monotonic() - started)
    return done


def _decide(connection: Connection, order: Load, chosen: Strategy) -> Loaded:
    lock(connection, "load", order.schema, order.dataset.name, str(order.month))
    # After the month's lock and before anything else: a loader that waits here holds nothing that the other could want.
    lock(connection, "table", order.schema, order.dataset.name, shared=not chosen.alone)
    current = ledger.read(connection, order.schema, order.dataset.name, order.month)
    if current is not None and current.seen > order.fence:
        return _superseded(order, current)
    if strict := tables.check_catalog(connection, order.dataset, order.table):
        tables.allow_nulls(order, strict)
    reason = _reason(connection, order, current)
    if current is not None and reason is None:
        return Loaded("unchanged", ledger.confirm(connection, order.schema, current))
    _log.info("loading %s by %s: %s", order.file.name, order.strategy if order.month else "replace", reason)
    done = chosen.publish(connection, order)
    lost = suspect.shrunk(order.file, done.entry.row_count, current.row_count) if current and order.month else None
    return replace(done, warnings=(*done.warnings, lost)) if lost else done


def _superseded(order: Load, current: Entry) -> Loaded:
    """Change nothing: another attempt has published since this one began. Raise `Busy` if it loaded other bytes.

    Only the source can tell which of two files is the newer one.
    """
    if current.source_sha256 != order.file.sha256:
        why = "another attempt loaded another version of it after this one began"
        raise Busy(f"{order.file.name}: {why}; run again to fetch it")
    return Loaded("unchanged", current, superseded=True)


def _reason(connection: Connection, order: Load, current: Entry | None) -> str | None:
    """Return why the file has to be loaded; None when these bytes are loaded, and their rows are still in the table.

    A ledger row without its rows is no proof.
    """
    if current is None:
        return "nothing is loaded yet"
    if order.force:
        return "force is set"
    if current.source_sha256 != order.file.sha256:
        return f"the ledger has other bytes, sha256 {current.source_sha256}"
    if current.declaration != order.dataset.declaration:
        return "it was loaded under another declaration"
    if order.dataset.monthly and not tables.is_attached(connection, order):
        return f"the ledger has it, but {order.partition_name} is missing"
    # Of the partition, never of the whole table: a lock on that, kept until the end, would stop other months' swaps.
    held = order.partition if order.dataset.monthly else order.table
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(held)).fetchone()
    assert row is not None
    if row[0] == current.row_count:
        return None
    return f"the ledger has {counted(current.row_count, 'row')}, the table {row[0]:,}"


def _log_outcome(order: Load, done: Loaded, seconds: float) -> None:
    entry = done.entry
    if done.superseded:
        _log.info("superseded: %s published the same bytes after this attempt began", printable(entry.loader))
    elif done.state == "unchanged":
        since = f"{entry.loaded_at:%Y-%m-%d %H:%M:%S %Z}" if entry.loaded_at else "earlier"
        _log.info("unchanged: %s loaded the same bytes (%s)", printable(entry.loader), since)
    else:
        rows = counted(entry.row_count, "row")
        _log.info("published %s of %s in %.2f s, digest %s", rows, order.file.name, seconds, entry.content_digest)
