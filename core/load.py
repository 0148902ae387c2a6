"""One transaction: a file's rows and its ledger row, or nothing.

    begin    a fence, taken before the file is fetched
    load     advisory lock on (schema, dataset, month)
             -> the ledger decides: stale, unchanged, or to be loaded
             -> rows by binary COPY, digest computed in the server
             -> ledger row, publication, commit

Because it is one transaction, a loader that dies at any point leaves what was there before, and nothing to clean up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pgpq
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import tenacity
from psycopg import sql

from core import digest, ledger
from core.database import Connection, check_schema_name, connect, lock
from core.errors import BadFile, Busy, SchemaDrift, UsageError
from core.extract import Extracted
from core.ledger import Entry
from core.month import Month
from core.schema import GREEN, ZONES, Dataset, check_columns, conform, with_identity
from core.settings import settings

BATCH_ROWS = 16_384
"""Rows decoded at a time: 3.5 MB on the wire, about what the kernel's socket buffers hold. So the server works off one
batch while the next is made, without a thread of ours: 0.99 x the time of a COPY of ready bytes at 1M rows, 1.15 x at
60,000, against 1.13 x and 1.44 x with 65,536 (docs/decisions/0007). Memory does not grow with the file."""

SWAP_LOCK = "250ms"
"""How long a swap may queue for the table's lock: readers that come after it wait that long at most, then go first."""


@dataclass(frozen=True)
class Loaded:
    """What a load did. `state` is ``success`` or ``unchanged``; `superseded` when a younger attempt was first."""

    state: str
    entry: Entry
    superseded: bool = False


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


def begin(schema: str) -> int:
    """Make the schema's raw tables where they are missing, and give this attempt its fence.

    Call it before the file is fetched: of two attempts, the one that began later is the one that counts.
    """
    check_schema_name(schema)
    with connect("begin") as connection:
        if not all(_exists(connection, schema, name) for name in _RELATIONS):
            _create(connection, schema)
        return ledger.next_fence(connection, schema)


_RELATIONS = (GREEN.table, ZONES.table, "load_ledger", "load_fence")


def _create(connection: Connection, schema: str) -> None:
    lock(connection, "schema", schema)  # held until the commit: loaders that come meanwhile find all of it
    name = sql.Identifier(schema)
    if connection.execute("SELECT to_regnamespace(%s)", [name.as_string(connection)]).fetchone() == (None,):
        # IF NOT EXISTS instead would ask for the right to create schemas even where the schema is there
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
    for dataset in (GREEN, ZONES):
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
    quoted = sql.Identifier(*name).as_string(connection)
    return connection.execute("SELECT to_regclass(%s)", [quoted]).fetchone() != (None,)


def load(job: Load) -> Loaded:
    """Publish a file, unless the ledger shows that there is nothing to do.

    Raise `SchemaDrift` or `BadFile` for the file, `Busy` or `DatabaseUnavailable` for the server: nothing is published.
    """
    publish = strategy(job.strategy) if job.dataset.monthly else _replace
    with connect(f"{job.loader} {job.dataset.name} {job.month or ''}") as connection, connection.transaction():
        lock(connection, "load", job.schema, job.dataset.name, str(job.month))
        current = ledger.read(connection, job.schema, job.dataset.name, job.month)
        if current is not None and current.seen > job.fence:
            return _superseded(job, current)
        _check_catalogue(connection, job.dataset, job.table)
        if current is not None and not job.force and _same(connection, job, current):
            ledger.confirm(connection, job.schema, current, job.fence)
            return Loaded("unchanged", replace(current, seen=job.fence))
        return Loaded("success", publish(connection, job))


def _superseded(job: Load, current: Entry) -> Loaded:
    """A younger attempt was first: change nothing. Which of two files is the newer, only the source can say."""
    if current.source_sha256 != job.file.sha256:
        raise Busy(f"{job.file.name}: a younger attempt loaded another version of it; run again to read it anew")
    return Loaded("unchanged", current, superseded=True)


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


def _swap(connection: Connection, job: Load) -> Entry:
    """Build the month aside, then swap it in as the partition.

    Readers wait for the catalogue change only, never for the rows; there are no dead rows; WAL is written once, or not
    at all under ``wal_level=minimal``. Needs a moment's ACCESS EXCLUSIVE on the table when it replaces a month.

    Up to then nothing may lock the table, not even CREATE TABLE ... (LIKE it): two swaps that both hold a lock on it,
    and want to raise it, deadlock.
    """
    side_name = f"{job.partition_name}_side"
    side = sql.Identifier(job.schema, side_name)
    # The CHECK is what lets ATTACH skip reading the table to prove that all its rows belong.
    create = sql.SQL("CREATE TABLE {} ({}, CONSTRAINT is_month CHECK (source_month = {}))")
    connection.execute(create.format(side, _columns(job.dataset), job.bound))
    entry = _fill(connection, job, side_name, freeze=_is_attached(connection, job))
    _with_table_lock(connection, job, lambda: _exchange(connection, job, side))
    return entry


def _exchange(connection: Connection, job: Load, side: sql.Identifier) -> None:
    if _is_attached(connection, job):
        connection.execute(sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(job.table, job.partition))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(job.partition))
    connection.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(side, sql.Identifier(job.partition_name)))
    connection.execute(_attach(job))
    connection.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT is_month").format(job.partition))


def _delete_append(connection: Connection, job: Load) -> Entry:
    """Delete the month's rows and append the file's, in the partition that is there.

    Takes no lock that a reader would notice, but leaves each replaced row dead until a vacuum, and writes WAL for both.
    A month that is new has nothing to delete: its partition is built aside, so that the table is not locked meanwhile.
    """
    if not _is_attached(connection, job):
        return _swap(connection, job)
    connection.execute(sql.SQL("DELETE FROM {}").format(job.partition))
    return _fill(connection, job, job.partition_name)


def _replace(connection: Connection, job: Load) -> Entry:
    """Replace a small table that is not partitioned: one DELETE, one COPY, one commit."""
    connection.execute(sql.SQL("DELETE FROM {}").format(job.table))
    return _fill(connection, job, job.dataset.table)


STRATEGIES: dict[str, Callable[[Connection, Load], Entry] | None] = {
    "swap": _swap,
    "delete-append": _delete_append,
    "overwrite": None,
    "upsert": None,
}
"""Every name that the command line knows. None: named, but not there yet."""


def strategy(name: str) -> Callable[[Connection, Load], Entry]:
    """The strategy called `name`; raise `UsageError` when there is none."""
    there = ", ".join(known for known, function in STRATEGIES.items() if function is not None)
    if name not in STRATEGIES:
        raise UsageError(f"{name!r} is not a strategy: choose one of {there}")
    if (function := STRATEGIES[name]) is None:
        raise UsageError(f"strategy {name!r} is not there yet: choose one of {there}")
    return function


def _attach(job: Load) -> sql.Composed:
    return sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES IN ({})").format(job.table, job.partition, job.bound)


def _with_table_lock(connection: Connection, job: Load, change: Callable[[], None]) -> None:
    """Run a catalogue change that must lock the table, giving way to readers again and again until it gets through.

    A waiting ACCESS EXCLUSIVE makes every later reader wait behind it. So it waits `SWAP_LOCK` only, and its savepoint
    is undone; the rows already copied are not. Raise `Busy` after `Settings.lock_wait_s`.
    """
    wait = settings().lock_wait_s
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)),
        wait=tenacity.wait_random(0.05, 0.25),
        stop=tenacity.stop_after_delay(wait),
    )
    try:
        for attempt in retrying:
            with attempt, connection.transaction():
                connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(SWAP_LOCK))
                change()
    except tenacity.RetryError as error:
        name = job.dataset.table
        raise Busy(f"{name}: readers held it for {wait:g} s; end the longest one, then run again") from error


# --- rows -----------------------------------------------------------------------------------------------------------


def _fill(connection: Connection, job: Load, table: str, *, freeze: bool = False) -> Entry:
    """Copy the file into `table`, and write the ledger row of it with its digest as the server holds it."""
    rows = _copy(connection, job, sql.Identifier(job.schema, table), freeze)
    content = digest.table(connection, job.schema, table)
    assert content.rows == rows, f"{rows} rows were sent to {table} and {content.rows} are there"
    entry = Entry(
        dataset=job.dataset.name,
        month=job.month.first_day if job.month else None,
        source_file=job.file.name,
        source_sha256=job.file.sha256,
        source_bytes=job.file.bytes,
        row_count=rows,
        content_digest=content.hex,
        declaration=job.dataset.declaration,
        strategy=job.strategy if job.dataset.monthly else "replace",
        loader=job.loader,
        run_id=job.run_id,
        fence=job.fence,
        seen=job.fence,
    )
    ledger.write(connection, job.schema, entry)
    return entry


def _copy(connection: Connection, job: Load, table: sql.Identifier, freeze: bool) -> int:
    """Stream the file's rows into `table`; give their number.

    `freeze` makes them visible to every snapshot, however old. A reader that took its snapshot before a swap and its
    lock after it (REPEATABLE READ, COPY (SELECT ...), CREATE TABLE AS over a view) would otherwise see neither the old
    rows nor the new ones: an empty month. A month that is new is not frozen: no rows is what was there before.
    """
    dataset = job.dataset
    _check_catalogue(connection, dataset, table)
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in dataset.table_columns)
    into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary, FREEZE {})").format(table, columns, sql.Literal(freeze))
    rows = 0
    with connection.cursor().copy(into) as copy:
        for piece, number in _encoded(job):
            copy.write(piece)
            rows += number
    return rows


def _encoded(job: Load) -> Iterator[tuple[memoryview, int]]:
    """The file in the wire form of a binary COPY, piece by piece, with the number of rows in each."""
    encoder = pgpq.ArrowToPostgresBinaryEncoder(job.dataset.arrow)
    yield memoryview(encoder.write_header()), 0
    for batch in batches(job.dataset, job.file, job.month):
        # a view: psycopg sends 128 kB at a time, and would copy each slice of bytes
        yield memoryview(encoder.write_batch(batch)), batch.num_rows
    yield memoryview(encoder.finish()), 0


def _check_catalogue(connection: Connection, dataset: Dataset, table: sql.Identifier) -> None:
    """Binary COPY checks widths, not types: compare names and types with the catalogue before the first byte."""
    query = """SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
               WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
    there = connection.execute(query, [table.as_string(connection)]).fetchall()
    declared = [(column.name, column.kind.postgres) for column in dataset.table_columns]
    if there != declared:
        raise SchemaDrift(
            f"{table.as_string(connection)} is not the table that {dataset.name} declares: "
            f"{sorted({str(pair) for pair in {*there} ^ {*declared}})[:4] or 'another order'}; "
            "load into another --schema, or drop this one"
        )


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
        shown = "".join(letter if letter.isprintable() else "?" for letter in line)  # it may quote damaged bytes
        raise BadFile(f"{file.name} can't be read: {shown}; fetch it again from the publisher") from error


def _read(dataset: Dataset, file: Extracted) -> Iterator[pa.RecordBatch]:
    if file.name.endswith(".csv"):
        yield from _read_csv(dataset, file)
        return
    # Pages as they are needed. By default pyarrow reads ahead a whole row group, and the publisher's files have only one:
    # a peak of 328 MB against 160 MB for one of 200 MB.
    with pq.ParquetFile(file.path, pre_buffer=False, buffer_size=1 << 20) as parquet:
        check_columns(dataset, parquet.schema_arrow, file.name)
        # In this thread: pyarrow's pool would take turns on the core that the server needs, for a tenth more CPU.
        yield from parquet.iter_batches(BATCH_ROWS, use_threads=False)


def _read_csv(dataset: Dataset, file: Extracted) -> Iterator[pa.RecordBatch]:
    """Every column as text, and no text as NULL: the lookup holds the text ``N/A``, which readers like to swallow."""
    text = {column.published: pa.string() for column in dataset.columns}
    options = pyarrow.csv.ConvertOptions(column_types=text, strings_can_be_null=False)
    with pyarrow.csv.open_csv(file.path, convert_options=options) as reader:
        check_columns(dataset, reader.schema, file.name)
        yield from reader


def _check_key(dataset: Dataset, batch: pa.RecordBatch, seen: set[object], file: str) -> None:
    if dataset.key is None:
        return
    for value in batch.column(dataset.key).to_pylist():
        if value in seen:
            raise SchemaDrift(f"{file}: {dataset.key} {value!r} is there twice; a lookup has each once")
        seen.add(value)
