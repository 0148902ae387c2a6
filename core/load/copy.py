"""A file's rows into a table by binary COPY, and their digest at the same time."""

from __future__ import annotations

from collections.abc import Iterator

import pgpq
import pyarrow as pa
from psycopg import sql

from core import digest, ledger
from core.database import Connection
from core.ledger import Entry
from core.load import suspect, tables
from core.load.order import Content, Load, Loaded
from core.load.reading import batches
from core.load.rowhash import RowHash


def fill(connection: Connection, order: Load, table: str, *, freeze: bool = False) -> Loaded:
    """Copy the file into `table`, and write its ledger row."""
    return record(connection, order, copy(connection, order, order.schema, table, freeze=freeze))


def record(connection: Connection, order: Load, content: Content) -> Loaded:
    """Write the ledger row of the file whose rows are `content`."""
    entry = Entry(
        dataset=order.dataset.name,
        month=order.month.first_day if order.month else None,
        source_file=order.file.name,
        source_sha256=order.file.sha256,
        source_bytes=order.file.bytes,
        row_count=content.digest.rows,
        content_digest=content.digest.hex,
        declaration=order.dataset.declaration,
        strategy=order.strategy if order.dataset.monthly else "replace",
        loader=order.loader,
        run_id=order.run_id,
        fence=order.fence,
        # `ledger.write` draws it.
        seen=0,
        source=order.source,
    )
    return Loaded("success", ledger.write(connection, order.schema, entry), warnings=content.warnings)


def copy(connection: Connection, order: Load, schema: str, name: str, *, freeze: bool = False) -> Content:
    """Stream the file's rows into an empty table; return their digest. Raise `SuspectFile` when they are another
    month's.

    `freeze` makes them visible to every snapshot, however old. A reader that took its snapshot before a swap and its
    lock after it (REPEATABLE READ, COPY (SELECT ...), CREATE TABLE AS over a view) would otherwise see neither the old
    rows nor the new ones: an empty month. A new month is not frozen, because it had no rows before.
    """
    dataset, table = order.dataset, sql.Identifier(schema, name)
    tables.check_catalog(connection, dataset, table)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in dataset.table_columns)
    into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE {})").format(table, columns, sql.Literal(freeze))
    rows = RowHash(dataset)
    in_month = suspect.InMonth(dataset, order.month) if order.month else None
    cursor = connection.cursor()
    with cursor.copy(into) as pipe:
        for piece, batch in encoded(order):
            pipe.write(piece)
            if batch is not None:
                # After the write, so that the server works on the batch while it is hashed.
                rows.add(batch)
                if in_month:
                    in_month.add(batch)
    content = rows.digest() or digest.table(connection, schema, name)
    assert content.rows == cursor.rowcount, f"{content.rows} rows were sent to {name}, and it took {cursor.rowcount}"
    if in_month is None:
        return Content(content)
    line = suspect.month(connection, order, content.rows, in_month.rows, copied=table)
    return Content(content, order.suspected(line))


def encoded(order: Load) -> Iterator[tuple[memoryview, pa.RecordBatch | None]]:
    """Yield the file in the wire format of a binary COPY, piece by piece, each with the batch that it was made from."""
    encoder = pgpq.ArrowToPostgresBinaryEncoder(order.dataset.arrow)
    yield memoryview(encoder.write_header()), None
    for batch in batches(order.dataset, order.file, order.month):
        # A view: psycopg sends 128 kB at a time, and would copy each slice of bytes.
        yield memoryview(encoder.write_batch(batch)), batch
    yield memoryview(encoder.finish()), None
