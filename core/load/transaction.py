"""One transaction: a file's rows and its ledger row, or nothing.

    begin    a fence, taken before the file is fetched
    load     advisory lock on (schema, dataset, month)
             -> the ledger decides: stale, unchanged, or to be loaded
             -> rows by binary COPY, and meanwhile their digest
             -> the rows decide: what was meant, or suspect (`core.load.suspect`)
             -> ledger row, publication, commit

Because it is one transaction, a loader that dies at any point leaves what was there before, and nothing to clean up.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import pgpq
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import tenacity
from psycopg import sql

from core import digest, ledger
from core.database import Connection, check_schema_name, connect, lock, table_not_free
from core.datasets import GREEN, MODELLED, Dataset, check_columns, conform, with_identity
from core.digest import Digest
from core.errors import BadFile, Busy, SchemaDrift, SuspectFile, quoted
from core.extract import Extracted
from core.ledger import Entry
from core.load import parquet, suspect
from core.load.rowhash import RowHash
from core.month import Month
from core.run import check_strategy
from core.settings import settings

BATCH_ROWS = 16_384
"""Rows decoded at a time: 3.5 MB on the wire, about what the kernel's socket buffers hold. So the server works off one
batch while the next is made, without a thread of ours: 0.99 x the time of a COPY of ready bytes at 1M rows, 1.15 x at
60,000, against 1.13 x and 1.44 x with 65,536 (docs/decisions/0007). Memory does not grow with the file."""

SWAP_LOCK = "250ms"
"""How long a swap may queue for the table's lock: readers that come after it wait that long at most, then go first."""


@dataclass(frozen=True)
class Loaded:
    """What a load did. `state` is ``success`` or ``unchanged``; `superseded` when a younger attempt was first.

    `warnings` are lines that a person should read although the rows are published.
    """

    state: str
    entry: Entry
    superseded: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """The rows that were copied, and what a person should know about them."""

    digest: Digest
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Load:
    """One dataset's file on its way into one schema, under one fence."""

    schema: str
    dataset: Dataset
    month: Month | None
    file: Extracted
    strategy: str
    loader: str
    run_id: str
    fence: int
    force: bool = False
    accept_suspect: bool = False

    @property
    def table(self) -> sql.Identifier:
        """The table that readers see."""
        return sql.Identifier(self.schema, self.dataset.table)

    @property
    def partition_name(self) -> str:
        """The month's partition, without its schema: ``raw_trips_2024_01``."""
        return f"{self.dataset.table}_{str(self.month).replace('-', '_')}"

    @property
    def partition(self) -> sql.Identifier:
        """The month's partition."""
        return sql.Identifier(self.schema, self.partition_name)

    @property
    def bound(self) -> sql.Literal:
        """The partition's one key value."""
        assert self.month is not None
        return sql.Literal(self.month.first_day)


def begin(schema: str, dataset: Dataset = GREEN) -> int:
    """Make the tables that `dataset` and the models need where they are missing, and give this attempt its fence.

    Call it before the file is fetched: what another attempt publishes from now on may be the newer version.
    """
    check_schema_name(schema)
    with connect("begin") as connection:
        datasets = dict.fromkeys((*MODELLED, dataset))
        names = [*(needed.table for needed in datasets), "load_ledger", "load_fence"]
        if not all(_exists(connection, schema, name) for name in names):
            _create(connection, schema, datasets)
        return ledger.next_fence(connection, schema)


def _create(connection: Connection, schema: str, datasets: Iterable[Dataset]) -> None:
    lock(connection, "schema", schema)  # held until the commit: loaders that come meanwhile find all of it
    name = sql.Identifier(schema)
    # A look into the table, for to_regnamespace may remember from before the lock that there is none
    if connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is None:
        # IF NOT EXISTS instead would ask for the right to create schemas even where the schema is there
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    for dataset in datasets:
        table = sql.Identifier(schema, dataset.table)
        tail = sql.SQL("PARTITION BY LIST (source_month)" if dataset.monthly else "")
        connection.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}) {}").format(table, _columns(dataset), tail))
    ledger.create(connection, schema)


def _columns(dataset: Dataset) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{} {}{}").format(
            sql.Identifier(column.name), sql.SQL(column.kind.postgres), sql.SQL("" if column.nullable else " NOT NULL")
        )
        for column in dataset.table_columns
    )


def _exists(connection: Connection, *name: str) -> bool:
    written = sql.Identifier(*name).as_string(connection)
    return connection.execute("SELECT to_regclass(%s)", [written]).fetchone() != (None,)


def load(job: Load) -> Loaded:
    """Publish a file, unless the ledger shows that there is nothing to do.

    Raise `SchemaDrift`, `SuspectFile` or `BadFile` for the file, `Busy` or `DatabaseUnavailable` for the server: nothing is published.
    """
    chosen = strategy(job.strategy) if job.dataset.monthly else Strategy(_replace)
    with connect(f"{job.loader} {job.dataset.name} {job.month or ''}") as connection, connection.transaction():
        lock(connection, "load", job.schema, job.dataset.name, str(job.month))
        # After the month's lock and before anything else: one who waits here holds nothing that the other could want.
        lock(connection, "table", job.schema, job.dataset.name, shared=not chosen.alone)
        current = ledger.read(connection, job.schema, job.dataset.name, job.month)
        if current is not None and current.seen > job.fence:
            return _superseded(job, current)
        if strict := _check_catalogue(connection, job.dataset, job.table):
            _relax(job, strict)
        if current is not None and not job.force and _same(connection, job, current):
            return Loaded("unchanged", ledger.confirm(connection, job.schema, current))
        done = chosen.publish(connection, job)
        lost = suspect.shrunk(job.file, done.entry.row_count, current.row_count) if current and job.month else None
        return replace(done, warnings=(*done.warnings, lost)) if lost else done


def _relax(job: Load, columns: Iterable[str]) -> None:
    """Allow NULL where an earlier declaration did not: a partition that allows it can't be attached to a table that does not.

    On a connection of its own: the load's transaction would keep readers from the table until its commit.
    """
    drop = sql.SQL(", ").join(sql.SQL("ALTER {} DROP NOT NULL").format(sql.Identifier(column)) for column in columns)
    with connect("relax") as connection:
        # The partitions too: each has a constraint of its own, and not every strategy makes them again.
        names = [job.table, *(sql.Identifier(*partition) for partition in _partitions(connection, job.table))]

        def change() -> None:
            for name in names:
                connection.execute(sql.SQL("ALTER TABLE {} {}").format(name, drop))

        _with_table_lock(connection, job, change)


def _superseded(job: Load, current: Entry) -> Loaded:
    """Since this attempt began another one has published: change nothing. Which of two files is the newer, only the source can say."""
    if current.source_sha256 != job.file.sha256:
        raise Busy(
            f"{job.file.name}: meanwhile another attempt loaded another version of it; run again to read it anew"
        )
    return Loaded("unchanged", current, superseded=True)


def _suspected(job: Load, line: str | None) -> tuple[str, ...]:
    """The line as a warning, when the caller insists; raise `SuspectFile` with it otherwise."""
    if line is None:
        return ()
    if not job.accept_suspect:
        raise SuspectFile(f"{line}; fetch it again from the publisher, or publish it as it is with --accept-suspect")
    return (line,)


def _same(connection: Connection, job: Load, current: Entry) -> bool:
    """Whether these bytes are loaded, and still there: a ledger row without its rows is no proof."""
    if (current.source_sha256, current.declaration) != (job.file.sha256, job.dataset.declaration):
        return False
    if job.dataset.monthly and not _is_attached(connection, job):
        return False
    # Of the partition, never of the whole table: a lock on that, kept until the end, would stop other months' swaps.
    there = job.partition if job.dataset.monthly else job.table
    return connection.execute(sql.SQL("SELECT count(*) FROM {}").format(there)).fetchone() == (current.row_count,)


def _is_attached(connection: Connection, job: Load) -> bool:
    query = "SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass(%s) AND inhparent = to_regclass(%s)"
    names = [name.as_string(connection) for name in (job.partition, job.table)]
    return connection.execute(query, names).fetchone() is not None


# --- strategies -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Strategy:
    """A way to publish a month. All of them give the same rows, digest and ledger, in any mixture.

    Under each, every reader sees whole months, whatever its isolation. What differs is `older_snapshot`: which version
    of a replaced month a REPEATABLE READ transaction finds that began before the load and first looks after it.
    `alone`: it touches other months' rows too, so no other load of the table may run meanwhile.
    """

    publish: Callable[[Connection, Load], Loaded]
    older_snapshot: Literal["old", "new"] = "old"
    alone: bool = False

    @property
    def trade_offs(self) -> str:
        """What it costs and what it spares, in one paragraph."""
        return inspect.cleandoc(self.publish.__doc__ or "")


def _swap(connection: Connection, job: Load) -> Loaded:
    """Build the month aside, then swap it in as the partition. Readers wait for the change of the catalogue only, never
    for rows; there are no dead rows; WAL is written once, or not at all under `wal_level=minimal`. The price is a
    moment's ACCESS EXCLUSIVE on the table when it replaces a month: a query that does not end holds it up, and a view
    over the partition itself stops it.
    """
    # Up to the exchange nothing may lock the table, not even CREATE TABLE ... (LIKE it): two swaps that both hold a
    # lock on it, and want to raise it, deadlock.
    side_name = f"{job.partition_name}_side"
    side = sql.Identifier(job.schema, side_name)
    # The CHECK is what lets ATTACH skip reading the table to prove that all its rows belong.
    create = sql.SQL("CREATE TABLE {} ({}, CONSTRAINT is_month CHECK (source_month = {}))")
    connection.execute(create.format(side, _columns(job.dataset), job.bound))
    done = _fill(connection, job, side_name, freeze=_is_attached(connection, job))
    _with_table_lock(connection, job, lambda: _exchange(connection, job, side))
    return done


def _exchange(connection: Connection, job: Load, side: sql.Identifier) -> None:
    if _is_attached(connection, job):
        connection.execute(sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(job.table, job.partition))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(job.partition))
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(side, sql.Identifier(job.partition_name)))
    connection.execute(_attach(job))
    connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT is_month").format(job.partition))


def _delete_append(connection: Connection, job: Load) -> Loaded:
    """Delete the month's rows and append the file's, in the partition that is there. It takes no lock that a reader would
    notice, and waits for none; views, indexes and rights on the partition stay. The price: every replaced row is dead
    until a vacuum, readers pass over it meanwhile, and WAL is written for both, two to three times that of a swap. A
    month that is new has nothing to delete, and is built aside, so that the table is not locked while rows arrive.
    """
    if not _is_attached(connection, job):
        return _swap(connection, job)
    connection.execute(sql.SQL("DELETE FROM {}").format(job.partition))
    return _fill(connection, job, job.partition_name)


def _overwrite(connection: Connection, job: Load) -> Loaded:
    """Write the whole table anew: the month from its file, every other month from the rows that are there. Its one merit
    is that nobody has to think about which rows changed. The price is paid for every month that is loaded, not for
    the one that changed: time, WAL, and as many dead rows as the table has, so it doubles on disk until a vacuum; and
    months can't be loaded side by side. Readers neither wait nor see part of it, because rows are deleted and inserted
    in one transaction. The usual TRUNCATE would make them wait for the whole load, and show an older snapshot an empty
    table; a new table under the old name would leave every view on the old one.
    """
    # Month by month: the rows on their way from the one to the other are kept in a temporary file
    rewrite = sql.SQL("WITH old AS (DELETE FROM {0} RETURNING *) INSERT INTO {0} SELECT * FROM old")
    for schema, name in _partitions(connection, job.table):
        if (schema, name) != (job.schema, job.partition_name):
            connection.execute(rewrite.format(sql.Identifier(schema, name)))
    return _delete_append(connection, job)


def _partitions(connection: Connection, table: sql.Identifier) -> list[tuple[str, str]]:
    """Schema and name of every partition."""
    query = """SELECT nspname::text, relname::text
               FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
               WHERE inhparent = %s::regclass ORDER BY relname"""
    return connection.execute(query, [table.as_string(connection)]).fetchall()


_ARRIVED = ("pg_temp", "arrived")  # seen by this session alone, written without WAL, dropped at the commit


def _upsert(connection: Connection, job: Load) -> Loaded:
    """Copy the file into a temporary table and MERGE it on the rows' identity, their number in the file: rows that differ
    in any bit are updated, missing ones inserted, those beyond the new file's end deleted, equal ones left alone. Where
    a correction changes few rows, it writes few, and leaves few dead. Where most rows changed it costs more than deleting
    and appending them: all are read, compared, and written twice. It takes no lock that a reader would notice. A row
    inserted near the top of a file moves all that follow, and then every one of them has changed.
    """
    if not _is_attached(connection, job):
        return _swap(connection, job)
    arrived = sql.Identifier(*_ARRIVED)
    create = sql.SQL("CREATE TABLE {} ({}) ON COMMIT DROP")
    connection.execute(create.format(arrived, _columns(job.dataset)))
    content = _copy(connection, job, *_ARRIVED)
    connection.execute(_merge(job, arrived))
    if connection.execute(sql.SQL("SELECT count(*) FROM {}").format(job.partition)).fetchone() != (
        content.digest.rows,
    ):
        # By somebody's hand a number was there twice: both rows are now equal to the new one
        connection.execute(sql.SQL("DELETE FROM {}").format(job.partition))
        connection.execute(sql.SQL("INSERT INTO {} SELECT * FROM {}").format(job.partition, arrived))
    return _record(connection, job, content)


def _merge(job: Load, arrived: sql.Identifier) -> sql.Composed:
    """Make the partition equal to `arrived`, which holds the same month.

    MERGE joins the two once, and needs no index, which every other load of the month would have to pay for (a btree
    on the target makes COPY half as slow again); that a number is there once, the loader sees to. ``*<>`` compares
    the stored bits: to ``<>``, 0.0 equals -0.0, and the digests would then differ.
    """
    names = [sql.Identifier(column.name) for column in job.dataset.table_columns]
    return sql.SQL(
        """
        MERGE INTO {partition} AS there USING {arrived} AS new ON there.row_number = new.row_number
        WHEN MATCHED AND there.* *<> new.* THEN UPDATE SET {changes}
        WHEN NOT MATCHED BY TARGET THEN INSERT ({columns}) VALUES ({values})
        WHEN NOT MATCHED BY SOURCE THEN DELETE
        """
    ).format(
        partition=job.partition,
        arrived=arrived,
        changes=sql.SQL(", ").join(sql.SQL("{0} = new.{0}").format(name) for name in names),
        columns=sql.SQL(", ").join(names),
        values=sql.SQL(", ").join(sql.SQL("new.{}").format(name) for name in names),
    )


def _replace(connection: Connection, job: Load) -> Loaded:
    """Replace a small table that is not partitioned: one DELETE, one COPY, one commit."""
    before = suspect.keys(connection, job.schema, job.dataset)
    connection.execute(sql.SQL("DELETE FROM {}").format(job.table))
    done = _fill(connection, job, job.dataset.table)
    return replace(
        done, warnings=_suspected(job, suspect.lookup(connection, job.schema, job.dataset, job.file, before))
    )


STRATEGIES = {
    "swap": Strategy(_swap, older_snapshot="new"),
    "delete-append": Strategy(_delete_append),
    "overwrite": Strategy(_overwrite, alone=True),
    "upsert": Strategy(_upsert),
}
"""How each of `run.STRATEGIES` is done."""


def strategy(name: str) -> Strategy:
    """The strategy called `name`; raise `UsageError` when there is none."""
    return STRATEGIES[check_strategy(name)]


def _attach(job: Load) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})").format(job.table, job.partition, job.bound)


def _with_table_lock(connection: Connection, job: Load, change: Callable[[], None]) -> None:
    """Run a catalogue change that must lock the table, giving way to readers again and again until it gets through.

    A waiting ACCESS EXCLUSIVE makes every later reader wait behind it. So it waits `SWAP_LOCK` only, and its savepoint
    is undone; the rows already copied are not. Raise `Busy` after `Settings.lock_wait_s`.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)),
        wait=tenacity.wait_random(0.05, 0.25),
        stop=tenacity.stop_after_delay(settings().lock_wait_s),
    )
    try:
        for attempt in retrying:
            with attempt, connection.transaction():
                connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(SWAP_LOCK))
                change()
    except tenacity.RetryError as error:
        raise table_not_free(connection, job.schema, job.dataset.table) from error


# --- rows -----------------------------------------------------------------------------------------------------------


def _fill(connection: Connection, job: Load, table: str, *, freeze: bool = False) -> Loaded:
    """Copy the file into `table`, and write the ledger row of it."""
    return _record(connection, job, _copy(connection, job, job.schema, table, freeze=freeze))


def _record(connection: Connection, job: Load, content: Content) -> Loaded:
    """Write the ledger row of the file whose rows are `content`."""
    entry = Entry(
        dataset=job.dataset.name,
        month=job.month.first_day if job.month else None,
        source_file=job.file.name,
        source_sha256=job.file.sha256,
        source_bytes=job.file.bytes,
        row_count=content.digest.rows,
        content_digest=content.digest.hex,
        declaration=job.dataset.declaration,
        strategy=job.strategy if job.dataset.monthly else "replace",
        loader=job.loader,
        run_id=job.run_id,
        fence=job.fence,
        seen=0,  # see `ledger.write`
    )
    return Loaded("success", ledger.write(connection, job.schema, entry), warnings=content.warnings)


def _copy(connection: Connection, job: Load, schema: str, name: str, *, freeze: bool = False) -> Content:
    """Stream the file's rows into a table that has none; return their digest. Raise `SuspectFile` when they are another month's.

    `freeze` makes them visible to every snapshot, however old. A reader that took its snapshot before a swap and its
    lock after it (REPEATABLE READ, COPY (SELECT ...), CREATE TABLE AS over a view) would otherwise see neither the old
    rows nor the new ones: an empty month. A month that is new is not frozen: no rows is what was there before.
    """
    dataset, table = job.dataset, sql.Identifier(schema, name)
    _check_catalogue(connection, dataset, table)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in dataset.table_columns)
    into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE {})").format(table, columns, sql.Literal(freeze))
    rows, in_month = RowHash(dataset), suspect.InMonth(dataset, job.month) if job.month else None
    cursor = connection.cursor()
    with cursor.copy(into) as copy:
        for piece, batch in _encoded(job):
            copy.write(piece)
            if batch is not None:
                rows.add(batch)  # now that the server has it to work off, and not before
                if in_month:
                    in_month.add(batch)
    content = rows.digest() or digest.table(connection, schema, name)
    assert content.rows == cursor.rowcount, f"{content.rows} rows were sent to {name}, and it took {cursor.rowcount}"
    if job.month is None or in_month is None:
        return Content(content)
    line = suspect.month(
        connection, job.schema, dataset, job.month, job.file, content.rows, in_month.rows, copied=table
    )
    return Content(content, _suspected(job, line))


def _encoded(job: Load) -> Iterator[tuple[memoryview, pa.RecordBatch | None]]:
    """The file in the wire form of a binary COPY, piece by piece, with the batch that it was made of."""
    encoder = pgpq.ArrowToPostgresBinaryEncoder(job.dataset.arrow)
    yield memoryview(encoder.write_header()), None
    for batch in batches(job.dataset, job.file, job.month):
        # a view: psycopg sends 128 kB at a time, and would copy each slice of bytes
        yield memoryview(encoder.write_batch(batch)), batch
    yield memoryview(encoder.finish()), None


def _check_catalogue(connection: Connection, dataset: Dataset, table: sql.Identifier) -> list[str]:
    """Binary COPY checks widths, not types: compare names and types with the catalogue before the first byte.

    Return the columns that are NOT NULL there, and nullable by the declaration.
    """
    query = """SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
               WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
    found = connection.execute(query, [table.as_string(connection)]).fetchall()
    there = [(name, kind) for name, kind, _ in found]
    declared = [(column.name, column.kind.postgres) for column in dataset.table_columns]
    if there != declared:
        raise SchemaDrift(
            f"{table.as_string(connection)} is not the table that {dataset.name} declares: "
            f"{sorted({str(pair) for pair in {*there} ^ {*declared}})[:4] or 'another order'}; "
            "load into another --schema, or drop this one"
        )
    nullable = {column.name for column in dataset.table_columns if column.nullable}
    return [name for name, _, is_required in found if is_required and name in nullable]


def batches(dataset: Dataset, file: Extracted, month: Month | None) -> Iterator[pa.RecordBatch]:
    """The file's rows as record batches of the declared Arrow schema, in the file's order."""
    try:
        first_row, schema, keys = 1, dataset.arrow, set[object]()
        for batch in _read(dataset, file):
            arrays = conform(dataset, batch, file.name, first_row)
            if month is not None:
                yield with_identity(month.first_day, arrays, first_row, schema)
            else:
                conformed = pa.RecordBatch.from_arrays(arrays, schema=schema)
                _check_key(dataset, conformed, keys, file.name)
                yield conformed
            first_row += batch.num_rows
    except (pa.ArrowException, UnicodeError, OSError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadFile(f"{file.name} can't be read: {quoted(line, 200)}; fetch it again from the publisher") from error


def _read(dataset: Dataset, file: Extracted) -> Iterator[pa.RecordBatch]:
    if file.name.endswith(".csv"):
        yield from _read_csv(dataset, file)
        return
    coded = parquet.check(file.path, file.name)
    with pq.ParquetFile(
        file.path,
        # Pages as they are needed. By default pyarrow reads ahead a whole row group, and the publisher's files have only
        # one: a peak of 328 MB against 160 MB for one of 200 MB.
        pre_buffer=False,
        buffer_size=1 << 20,
        # Texts come as the dictionary that the file has: a long one that all rows share is seen (`conform`) before it is many.
        read_dictionary=coded,
        thrift_container_size_limit=parquet.CONTAINER,
    ) as content:
        names = check_columns(dataset, content.schema_arrow, file.name)
        columns = names if len(names) < len(content.schema_arrow) else None
        # In this thread: pyarrow's pool would take turns on the core that the server needs, for a tenth more CPU.
        rows = 0
        for batch in content.iter_batches(BATCH_ROWS, columns=columns, use_threads=False):
            yield batch
            rows += batch.num_rows
        # One bit in a page's header is enough for Arrow to end there, without an error: an empty month.
        if rows != content.metadata.num_rows:
            raise BadFile(
                f"{file.name} declares {content.metadata.num_rows} rows, and {rows} are in it; fetch it again from the publisher"
            )


def _read_csv(dataset: Dataset, file: Extracted) -> Iterator[pa.RecordBatch]:
    """Every column as text, and no text as NULL: the lookup holds the text ``N/A``, which readers like to swallow."""
    _check_quotes(file)
    with pyarrow.csv.open_csv(file.path) as header:
        check_columns(dataset, pa.schema([(name, pa.string()) for name in header.schema.names]), file.name)
        text = dict.fromkeys(header.schema.names, pa.string())
    options = pyarrow.csv.ConvertOptions(column_types=text, strings_can_be_null=False)
    with pyarrow.csv.open_csv(file.path, convert_options=options) as reader:
        yield from reader


def _check_quotes(file: Extracted) -> None:
    """A file that is cut in a quoted text has an odd number of quotes. Arrow gives the rows before it, and says nothing."""
    with file.path.open("rb") as content:
        quotes = sum(piece.count(b'"') for piece in iter(lambda: content.read(1 << 20), b""))
    if quotes % 2:
        raise BadFile(
            f"{file.name} is cut off: it ends in the middle of a quoted text; fetch it again from the publisher"
        )


def _check_key(dataset: Dataset, batch: pa.RecordBatch, seen: set[object], file: str) -> None:
    if dataset.key is None:
        return
    for value in batch.column(dataset.key).to_pylist():
        if value in seen:
            raise SchemaDrift(f"{file}: {dataset.key} {value!r} is there twice; a lookup has each once")
        seen.add(value)
