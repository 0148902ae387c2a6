"""The tables are a pure function of the published files, and no reader ever sees part of a month."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import combinations_with_replacement, pairwise
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from core import load
from core.database import connect as connect_loader
from core.database import lock_key
from core.datasets import GREEN
from core.errors import BadFile, Busy, DatabaseUnavailable, PermanentError, SchemaDrift, TransientError, UsageError
from core.extract import sample
from core.ledger import Entry
from core.ledger import read as read_entry
from core.load import reading
from core.month import Month
from core.run import STRATEGIES
from core.settings import settings
from core.waiting import until
from tests import oracle
from tests.integration import loading
from tests.integration.loading import (
    MONTH,
    OTHER,
    SCHEMA,
    WAIT_S,
    attempt,
    attempt_zones,
    connect,
    count,
    held,
    ledger,
    order,
    relations,
    rows,
    running,
    waiting,
    write,
)

EACH = pytest.mark.parametrize("strategy", STRATEGIES)
IN_PLACE = pytest.mark.parametrize("strategy", ["delete-append", "overwrite", "upsert"])
EMPTY = {"raw_trips", "raw_zones", "load_ledger", "load_history", "load_fence"}


@pytest.fixture
def folder(tmp_path: Path, warehouse: str) -> Path:
    """A folder with the zone lookup and two months, and an empty database."""
    published = tmp_path / "published"
    sample.write_zones(published / sample.ZONES)
    write(published, MONTH)
    write(published, OTHER)
    return published


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch, warehouse: str) -> Iterator[None]:
    """The limit for locks is half a second."""
    monkeypatch.setenv("TRIPTYCH_LOCK_WAIT_S", "0.5")
    settings.cache_clear()
    yield
    settings.cache_clear()


# --- what is loaded ---------------------------------------------------------------------------------------------------


@EACH
def test_the_table_holds_the_file_and_nothing_else(folder: Path, warehouse: str, strategy: str) -> None:
    attempt_zones(folder)
    for month in (OTHER, MONTH):
        assert attempt(folder, month, strategy=strategy).state == "success"
    files = {str(month): folder / sample.file_name(month) for month in (MONTH, OTHER)}
    found = oracle.differences(warehouse, SCHEMA, files, folder / sample.ZONES)
    assert [line for line in found if line.startswith("raw_")] == []
    assert relations(warehouse) == EMPTY | {"raw_trips_2024_01", "raw_trips_2024_02"}


def test_the_real_files_are_loaded_as_published(real_data: Path, warehouse: str) -> None:
    paths = [real_data / "green" / f"green_tripdata_{month}.parquet" for month in ("2023-01", "2025-02")]
    files = {path.stem[-7:]: path for path in paths}
    attempt_zones(real_data / "green")
    for month, path in files.items():
        done = attempt(real_data / "green", Month.parse(month))
        assert done.entry.row_count == pq.read_metadata(path).num_rows
    found = oracle.differences(warehouse, SCHEMA, files, real_data / sample.ZONES)
    assert [line for line in found if line.startswith("raw_")] == []


@EACH
def test_a_strategy_produces_the_same_digest_rows_and_ledger_as_a_first_load(
    folder: Path, warehouse: str, strategy: str
) -> None:
    for month in (OTHER, MONTH):
        attempt(folder, month)
        attempt(folder, month, schema="other")
    write(folder, MONTH, seed=1, rows=700)
    assert attempt(folder).entry.strategy == "swap"
    assert attempt(folder, schema="other", strategy=strategy).entry.strategy == strategy
    assert rows(warehouse, schema="other") == rows(warehouse)
    assert [unsigned(row) for row in ledger(warehouse, "other")] == [unsigned(row) for row in ledger(warehouse)]


def unsigned(row: tuple[object, ...]) -> tuple[object, ...]:
    """Return a ledger row without how and when: the rest is a function of the file."""
    return row[:8]


# Each of the four follows each of the four, itself too
TURNS = [STRATEGIES[i] for i in (0, 0, 1, 0, 2, 0, 3, 1, 1, 2, 1, 3, 2, 2, 3, 3, 0)]


@pytest.mark.parametrize("changes", [True, False])
def test_strategies_may_take_turns(folder: Path, warehouse: str, changes: bool) -> None:
    assert len(set(pairwise(TURNS))) == len(STRATEGIES) ** 2
    attempt(folder, OTHER)
    for turn, strategy in enumerate(TURNS):
        if changes:
            write(folder, MONTH, seed=turn % 2, rows=(500, 700, 300)[turn % 3])
        assert attempt(folder, strategy=strategy, force=True).state == "success"
        attempt(folder, OTHER, schema="alone", force=True)
        attempt(folder, schema="alone", force=True)
        assert rows(warehouse) == rows(warehouse, schema="alone")
    assert relations(warehouse) == EMPTY | {"raw_trips_2024_01", "raw_trips_2024_02"}


ZEROS = pa.array([0.0, -0.0, None, 0.0])


@EACH
def test_a_reload_is_exact_to_the_bit(folder: Path, warehouse: str, strategy: str) -> None:
    """0.0 and -0.0 are equal in SQL, but not the same: rows that differ in nothing else are replaced too."""
    path = folder / sample.file_name(MONTH)
    table = pq.read_table(path).slice(0, len(ZEROS))
    column = table.column_names.index("congestion_surcharge")
    for values in (ZEROS, ZEROS.take([1, 0, 3, 2])):
        pq.write_table(table.set_column(column, "congestion_surcharge", values), path)
        attempt(folder, strategy=strategy)
    attempt(folder, schema="fresh")
    assert rows(warehouse) == rows(warehouse, schema="fresh")


def test_an_upsert_writes_only_the_rows_that_differ(folder: Path, warehouse: str) -> None:
    attempt(folder)
    old = written(warehouse)
    path = folder / sample.file_name(MONTH)
    # 20 rows fewer, and one that changed.
    table = pq.read_table(path).slice(0, len(old) - 20)
    column = table.column_names.index("fare_amount")
    fares = table["fare_amount"].to_pylist()
    pq.write_table(table.set_column(column, "fare_amount", [[fares[0] + 1, *fares[1:]]]), path)
    attempt(folder, strategy="upsert")
    new = written(warehouse)
    assert set(new) == set(range(1, len(old) - 19))
    assert [row for row in new if new[row] != old[row]] == [1]


def test_an_overwrite_rewrites_every_month_and_keeps_its_rows(folder: Path, warehouse: str) -> None:
    for month in (MONTH, OTHER):
        attempt(folder, month)
    before, old = rows(warehouse), written(warehouse, OTHER)
    entries = {row[1]: row for row in ledger(warehouse)}
    attempt(folder, strategy="overwrite", force=True)
    assert rows(warehouse) == before
    new = written(warehouse, OTHER)
    assert set(new) == set(old) and not set(new.values()) & set(old.values())
    after = {row[1]: row for row in ledger(warehouse)}
    assert after[OTHER.first_day] == entries[OTHER.first_day]
    assert after[MONTH.first_day] != entries[MONTH.first_day]


def written(dsn: str, month: Month = MONTH) -> dict[int, str]:
    """Return the transaction that wrote each row of a month, by the row's number."""
    with connect(dsn) as connection:
        query = "SELECT row_number, xmin::text FROM plain.raw_trips WHERE source_month = %s"
        return dict(connection.execute(query, [month.first_day]).fetchall())


@EACH
def test_an_empty_month_is_loaded_as_such(tmp_path: Path, warehouse: str, strategy: str) -> None:
    write(tmp_path)
    path = tmp_path / sample.file_name(MONTH)
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    done = attempt(tmp_path, strategy=strategy, accept_suspect=True)
    assert (done.state, done.entry.row_count) == ("success", 0)
    assert attempt(tmp_path, strategy=strategy).state == "unchanged"
    assert count(warehouse) == 0


@EACH
def test_a_month_may_become_empty_and_full_again(folder: Path, warehouse: str, strategy: str) -> None:
    path = folder / sample.file_name(MONTH)
    full = pq.read_table(path)
    attempt(folder, strategy=strategy)
    for table in (full.slice(0, 0), full):
        pq.write_table(table, path)
        done = attempt(folder, strategy=strategy, accept_suspect=True)
        assert done.entry.row_count == table.num_rows
        assert count(warehouse) == table.num_rows


def test_rows_are_numbered_as_in_the_file_whatever_its_row_groups(folder: Path, warehouse: str) -> None:
    path = folder / sample.file_name(MONTH)
    table = pq.read_table(path)
    attempt(folder)
    before = rows(warehouse)
    pq.write_table(table, path, row_group_size=7)
    # Other bytes, the same rows.
    assert attempt(folder).state == "success"
    assert rows(warehouse) == before
    assert len({row[6] for row in ledger(warehouse)}) == 1


def test_every_null_arrives_as_null(folder: Path, warehouse: str) -> None:
    table = pq.read_table(folder / sample.file_name(MONTH))
    for column in GREEN.columns:
        if column.nullable and column.published in table.column_names:
            index = table.column_names.index(column.published)
            table = table.set_column(index, column.published, pa.nulls(table.num_rows))
    pq.write_table(table, folder / sample.file_name(MONTH))
    attempt(folder)
    nullable = [sql.Identifier(column.name) for column in GREEN.columns if column.nullable]
    query = sql.SQL("SELECT num_nonnulls({}), count(*) FROM plain.raw_trips GROUP BY 1").format(
        sql.SQL(",").join(nullable)
    )
    with connect(warehouse) as connection:
        assert connection.execute(query).fetchall() == [(0, table.num_rows)]


# --- once is as good as twice -----------------------------------------------------------------------------------------


@EACH
def test_the_same_file_again_is_unchanged(folder: Path, warehouse: str, strategy: str) -> None:
    first = attempt(folder, strategy=strategy)
    before = rows(warehouse)
    again = attempt(folder, strategy=strategy, run_id="run-2", loader="other")
    assert (again.state, again.superseded) == ("unchanged", False)
    assert dataclasses.replace(again.entry, seen=0) == dataclasses.replace(current(first), seen=0)
    assert rows(warehouse) == before


def current(done: load.Loaded) -> Entry:
    """Return the ledger's entry of a load, which has the server's time."""
    with connect_loader("test") as connection:
        month = Month(done.entry.month.year, done.entry.month.month) if done.entry.month else None
        found = read_entry(connection, SCHEMA, done.entry.dataset, month)
    assert found is not None
    return found


def test_force_loads_the_same_file_again(folder: Path, warehouse: str) -> None:
    first, again = attempt(folder), attempt(folder, force=True, run_id="run-2")
    assert again.state == "success"
    assert (again.entry.content_digest, again.entry.row_count) == (first.entry.content_digest, first.entry.row_count)
    assert current(again).run_id == "run-2"


@EACH
def test_a_replaced_file_replaces_its_month_and_no_other(folder: Path, warehouse: str, strategy: str) -> None:
    for month in (MONTH, OTHER):
        attempt(folder, month, strategy=strategy)
    others = count(warehouse, OTHER)
    replaced = write(folder, MONTH, seed=1, rows=700)
    assert attempt(folder, strategy=strategy).state == "success"
    assert (count(warehouse, MONTH), count(warehouse, OTHER)) == (replaced, others)
    attempt(folder, schema="fresh")
    fresh = {row[6] for row in ledger(warehouse, "fresh")}
    assert fresh < {row[6] for row in ledger(warehouse)}


def test_zones_are_replaced_whole(folder: Path, warehouse: str) -> None:
    assert attempt_zones(folder).state == "success"
    assert attempt_zones(folder).state == "unchanged"
    text = (folder / sample.ZONES).read_text()
    (folder / sample.ZONES).write_text(text[: text.index("\n200,") + 1])
    done = attempt_zones(folder)
    assert (done.state, done.entry.row_count, done.entry.strategy) == ("success", 199, "replace")
    assert len(rows(warehouse, "raw_zones")) == 199


def test_zones_keep_the_text_that_readers_take_for_null(folder: Path, warehouse: str) -> None:
    attempt_zones(folder)
    assert [row[1:] for row in rows(warehouse, "raw_zones") if row[0] >= 264] == [
        ("Unknown", "N/A", "N/A"), ("N/A", "Outside of NYC", "N/A"),
    ]  # fmt: skip


BY_HAND = {
    "partition dropped": "DROP TABLE plain.raw_trips_2024_01",
    "partition detached": "ALTER TABLE plain.raw_trips DETACH PARTITION plain.raw_trips_2024_01",
    "partition emptied": "TRUNCATE plain.raw_trips_2024_01",
    "a row deleted": "DELETE FROM plain.raw_trips WHERE row_number = 7",
    "table dropped": "DROP TABLE plain.raw_trips",
    "zones dropped": "DROP TABLE plain.raw_zones",
    "zones emptied": "DELETE FROM plain.raw_zones",
    "ledger dropped": "DROP TABLE plain.load_ledger",
    "ledger emptied": "DELETE FROM plain.load_ledger",
    "fence dropped": "DROP SEQUENCE plain.load_fence",
    "schema dropped": "DROP SCHEMA plain CASCADE",
}


@pytest.mark.parametrize("damage", BY_HAND)
def test_rows_and_tables_removed_by_hand_come_back(folder: Path, warehouse: str, damage: str) -> None:
    def load_all() -> None:
        attempt_zones(folder)
        for month in (MONTH, OTHER):
            attempt(folder, month)

    load_all()
    before = rows(warehouse), rows(warehouse, "raw_zones")
    with connect(warehouse) as connection:
        connection.execute(BY_HAND[damage].encode())
    load_all()
    assert (rows(warehouse), rows(warehouse, "raw_zones")) == before


@EACH
def test_rows_added_or_changed_by_hand_are_replaced(folder: Path, warehouse: str, strategy: str) -> None:
    attempt(folder)
    before = rows(warehouse)
    with connect(warehouse) as connection:
        for statement in (
            "INSERT INTO plain.raw_trips SELECT * FROM plain.raw_trips WHERE row_number < 4",
            "UPDATE plain.raw_trips SET row_number = 7 WHERE row_number = 8",
            "UPDATE plain.raw_trips SET fare_amount = 1e9 WHERE row_number = 9",
        ):
            connection.execute(statement.encode())
    assert attempt(folder, strategy=strategy, force=True).state == "success"
    assert rows(warehouse) == before


def test_the_same_bytes_under_another_declaration_are_loaded_again(folder: Path, warehouse: str) -> None:
    attempt(folder)
    swapped = {"extra": "mta_tax", "mta_tax": "extra"}
    columns = tuple(
        dataclasses.replace(column, published=swapped.get(column.published, column.published))
        for column in GREEN.columns
    )
    changed = dataclasses.replace(GREEN, columns=columns)
    assert attempt(folder, dataset=changed).state == "success"
    assert attempt(folder, dataset=changed).state == "unchanged"
    assert attempt(folder).state == "success"


# --- attempts that come late ------------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("force", [False, True])
def test_a_late_attempt_at_the_same_file_changes_nothing(
    folder: Path, warehouse: str, strategy: str, force: bool
) -> None:
    late = order(folder, strategy=strategy, force=force)
    attempt(folder)
    before = rows(warehouse), ledger(warehouse)
    done = load.load(late)
    assert (done.state, done.superseded) == ("unchanged", True)
    assert (rows(warehouse), ledger(warehouse)) == before


@EACH
@pytest.mark.parametrize("force", [False, True])
def test_a_late_attempt_at_another_file_changes_nothing_and_is_busy(
    folder: Path, warehouse: str, strategy: str, force: bool
) -> None:
    late = order(folder, strategy=strategy, force=force)
    write(folder, MONTH, seed=1)
    attempt(folder)
    before = rows(warehouse), ledger(warehouse)
    with pytest.raises(
        Busy, match=r"another attempt loaded another version of it after this one began; run again to fetch it"
    ):
        load.load(late)
    assert (rows(warehouse), ledger(warehouse)) == before


@EACH
def test_the_attempt_that_began_last_may_have_fetched_first(folder: Path, warehouse: str, strategy: str) -> None:
    """One begins; another begins and fetches; the file is replaced; the first one fetches and publishes."""
    first, second = order(folder), order(folder, strategy=strategy)
    write(folder, MONTH, seed=1)
    assert load.load(dataclasses.replace(order(folder), fence=first.fence)).state == "success"
    before = rows(warehouse), ledger(warehouse)
    with pytest.raises(Busy, match="run again to fetch it"):
        load.load(second)
    assert (rows(warehouse), ledger(warehouse)) == before


def test_a_late_attempt_does_not_bring_back_what_a_younger_one_found_unchanged(folder: Path, warehouse: str) -> None:
    """The publisher replaces a file and then restores it: in between, an attempt read it and hung."""
    attempt(folder)
    original = (folder / sample.file_name(MONTH)).read_bytes()
    write(folder, MONTH, seed=1)
    late = order(folder)
    (folder / sample.file_name(MONTH)).write_bytes(original)
    before = rows(warehouse)
    assert attempt(folder).state == "unchanged"
    with pytest.raises(Busy):
        load.load(late)
    assert rows(warehouse) == before


def test_an_attempt_from_before_the_schema_was_dropped_is_still_late(folder: Path, warehouse: str) -> None:
    for _ in range(5):
        late = order(folder)
    write(folder, MONTH, seed=1)
    with connect(warehouse) as connection:
        connection.execute("DROP SCHEMA plain CASCADE")
    attempt(folder)
    with pytest.raises(Busy):
        load.load(late)


# --- two at once ------------------------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("force", [False, True])
def test_two_loaders_of_one_month_do_not_interleave(folder: Path, warehouse: str, strategy: str, force: bool) -> None:
    load.begin(SCHEMA)
    load_it = partial(attempt, folder, strategy=strategy, force=force)
    with held(warehouse) as holder, running(load_it, load_it) as loads:
        # One holds the month's lock and waits for the ledger, and one waits for the month's lock.
        waiting(warehouse, 2)
        holder.execute("ROLLBACK")
        states = sorted(done.result(WAIT_S).state for done in loads)
    assert states in (["success", "unchanged"], ["success", "success"] if force else [])
    attempt(folder, schema="alone")
    assert rows(warehouse) == rows(warehouse, schema="alone")


@pytest.mark.parametrize("strategies", list(combinations_with_replacement(["swap", "delete-append", "upsert"], 2)))
@pytest.mark.parametrize("fresh", [True, False])
def test_two_months_at_once_do_not_wait_for_each_other(
    folder: Path, warehouse: str, short_wait: None, strategies: tuple[str, str], fresh: bool
) -> None:
    """Both have copied their rows before either publishes: then neither may wait for a lock that the other holds."""
    load.begin(SCHEMA)
    if not fresh:
        attempt(folder, MONTH)
        attempt(folder, OTHER)
    both = [
        partial(attempt, folder, m, strategy=s, force=True) for m, s in zip((MONTH, OTHER), strategies, strict=True)
    ]
    start = threading.Barrier(2)

    def at_once(step: Callable[[], load.Loaded]) -> list[str]:
        states = []
        for _ in range(5):
            start.wait(WAIT_S)
            states.append(step().state)
        return states

    with running(*(partial(at_once, step) for step in both)) as loads:
        for done in loads:
            assert done.result(WAIT_S) == ["success"] * 5
    assert len(ledger(warehouse)) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [("overwrite", other) for other in STRATEGIES] + [(other, "overwrite") for other in STRATEGIES[:2]],
)
def test_an_overwrite_and_another_month_lose_no_rows_of_each_other(
    folder: Path, warehouse: str, first: str, second: str
) -> None:
    """The second one starts when the first has written all its rows, but has not committed."""
    for month in (MONTH, OTHER):
        attempt(folder, month)
    write(folder, MONTH, seed=1, rows=700)
    write(folder, OTHER, seed=1, rows=300)
    with held(warehouse) as holder, running(partial(attempt, folder, MONTH, strategy=first)) as (early,):
        waiting(warehouse)
        with running(partial(attempt, folder, OTHER, strategy=second)) as (late,):
            waiting(warehouse, 2)
            holder.execute("ROLLBACK")
            assert [done.result(WAIT_S).state for done in (early, late)] == ["success", "success"]
    for month in (MONTH, OTHER):
        attempt(folder, month, schema="alone")
    assert rows(warehouse) == rows(warehouse, schema="alone")


def test_two_overwrites_take_turns(folder: Path, warehouse: str) -> None:
    for month in (MONTH, OTHER):
        attempt(folder, month)
    before = rows(warehouse)
    start = threading.Barrier(2)

    def at_once(month: Month) -> set[str]:
        start.wait(WAIT_S)
        return {attempt(folder, month, strategy="overwrite", force=True).state for _ in range(5)}

    with running(partial(at_once, MONTH), partial(at_once, OTHER)) as loads:
        assert [done.result(WAIT_S) for done in loads] == [{"success"}, {"success"}]
    assert rows(warehouse) == before


def test_swaps_of_two_months_pass_each_other_in_mid_load(folder: Path, warehouse: str) -> None:
    for month in (MONTH, OTHER):
        attempt(folder, month)
    steps = [partial(attempt, folder, month, force=True) for month in (MONTH, OTHER)]
    with held(warehouse) as holder, running(*steps) as loads:
        # Both have copied, and both are about to swap.
        waiting(warehouse, 2)
        holder.execute("ROLLBACK")
        assert [done.result(WAIT_S).state for done in loads] == ["success", "success"]


def test_four_loaders_may_make_one_schema_at_once(folder: Path, warehouse: str) -> None:
    start = threading.Barrier(4)

    def begin() -> int:
        start.wait(WAIT_S)
        return load.begin("new")

    with running(begin, begin, begin, begin) as begun:
        assert len({token.result(WAIT_S) for token in begun}) == 4
    assert relations(warehouse, "new") == EMPTY


# --- what goes wrong in the middle ------------------------------------------------------------------------------------


@EACH
def test_a_bad_value_in_the_last_row_leaves_the_old_month_whole(folder: Path, warehouse: str, strategy: str) -> None:
    attempt(folder)
    before = rows(warehouse), ledger(warehouse), relations(warehouse)
    replaced = write(folder, MONTH, seed=1)
    bad = order(folder, strategy=strategy)
    with pytest.raises(
        SchemaDrift, match=f"green_tripdata_2024-01.parquet: column 'fare_amount': row {replaced} is inf"
    ):
        load.load(dataclasses.replace(bad, file=loading.lossy(bad.file)))
    assert (rows(warehouse), ledger(warehouse), relations(warehouse)) == before


@EACH
def test_a_bad_value_in_a_new_month_leaves_nothing(folder: Path, warehouse: str, strategy: str) -> None:
    bad = order(folder, strategy=strategy)
    with pytest.raises(SchemaDrift):
        load.load(dataclasses.replace(bad, file=loading.lossy(bad.file)))
    assert (rows(warehouse), ledger(warehouse), relations(warehouse)) == ([], [], EMPTY)


def test_a_lookup_that_is_cut_in_a_text_leaves_the_old_one_whole(folder: Path, warehouse: str) -> None:
    attempt_zones(folder)
    before = rows(warehouse, "raw_zones")
    content = (folder / sample.ZONES).read_bytes()
    (folder / sample.ZONES).write_bytes(content[: content.index(b"Boro Zone") + 4])
    with pytest.raises(BadFile, match=r"^taxi_zone_lookup\.csv is cut off: it ends in the middle of a quoted text"):
        attempt_zones(folder)
    assert rows(warehouse, "raw_zones") == before


def test_a_doubled_zone_leaves_the_old_lookup_whole(folder: Path, warehouse: str) -> None:
    attempt_zones(folder)
    before = rows(warehouse, "raw_zones")
    with (folder / sample.ZONES).open("a") as file:
        file.write('7,"Queens","Again","Boro Zone"\r\n')
    with pytest.raises(SchemaDrift, match="location_id 7 is there twice"):
        attempt_zones(folder)
    assert rows(warehouse, "raw_zones") == before


LOADER = """
import sys
from pathlib import Path
from tests.integration.loading import attempt
attempt(Path(sys.argv[1]), strategy=sys.argv[2])
"""


@EACH
@pytest.mark.parametrize("fresh", [True, False])
def test_a_loader_killed_in_the_middle_leaves_nothing_behind(
    folder: Path, warehouse: str, strategy: str, fresh: bool
) -> None:
    load.begin(SCHEMA)
    if not fresh:
        attempt(folder)
        write(folder, MONTH, seed=1)
    before = rows(warehouse), ledger(warehouse), relations(warehouse)
    with held(warehouse):
        with subprocess.Popen([sys.executable, "-c", LOADER, str(folder), strategy]) as loader:
            ((backend, name),) = waiting(warehouse)
            found = re.match(r"triptych pid=(\d+) test green 2024-01", name)
            assert found is not None and int(found[1]) == loader.pid
            os.kill(loader.pid, signal.SIGKILL)
        assert (rows(warehouse), relations(warehouse)) == (before[0], before[2])
    until(partial(gone, warehouse, backend), WAIT_S, 0.02, "the end of the dead loader's backend")
    assert (rows(warehouse), ledger(warehouse), relations(warehouse)) == before
    assert attempt(folder, strategy=strategy).state == "success"


def gone(dsn: str, backend: int) -> bool | None:
    with connect(dsn) as connection:
        there = connection.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [backend]).fetchone()
    return True if there is None else None


@EACH
def test_a_connection_ended_in_the_middle_is_transient_and_leaves_nothing(
    folder: Path, warehouse: str, strategy: str
) -> None:
    attempt(folder)
    write(folder, MONTH, seed=1)
    before = rows(warehouse), ledger(warehouse), relations(warehouse)
    with held(warehouse) as holder, running(partial(attempt, folder, strategy=strategy)) as (loader,):
        ((backend, _),) = waiting(warehouse)
        holder.execute("SELECT pg_terminate_backend(%s)", [backend])
        error = loader.exception(WAIT_S)
    assert isinstance(error, DatabaseUnavailable)
    assert "terminating connection" in str(error) and str(error).isprintable()
    assert (rows(warehouse), ledger(warehouse), relations(warehouse)) == before
    assert attempt(folder, strategy=strategy).state == "success"


def test_a_month_that_is_held_too_long_is_busy(folder: Path, warehouse: str, short_wait: None) -> None:
    load.begin(SCHEMA)
    with connect(warehouse) as holder, holder.transaction():
        holder.execute("SELECT pg_advisory_xact_lock(%s)", [lock_key("load", SCHEMA, "green", str(MONTH))])
        with pytest.raises(Busy, match=r"load plain green 2024-01: the lock was not free for 0\.5 s"):
            attempt(folder)
    assert attempt(folder).state == "success"


@pytest.mark.parametrize("table", ["load_ledger", "raw_zones"])
def test_every_wait_for_a_lock_ends(folder: Path, warehouse: str, short_wait: None, table: str) -> None:
    load.begin(SCHEMA)
    with connect(warehouse) as holder, holder.transaction():
        holder.execute(sql.SQL("LOCK TABLE plain.{} IN EXCLUSIVE MODE").format(sql.Identifier(table)))
        with pytest.raises(Busy):
            attempt_zones(folder)
    assert attempt_zones(folder).state == "success"


# --- readers ----------------------------------------------------------------------------------------------------------


@EACH
def test_a_reader_who_keeps_querying_sees_only_whole_months(folder: Path, warehouse: str, strategy: str) -> None:
    """Both months are old or new, never a mixture, in the table and in a view like dbt's staging."""
    versions: list[dict[str, int]] = [{"seed": 1}, {"rows": 900}]
    published = set()
    attempt(folder, OTHER)
    with connect(warehouse) as connection:
        connection.execute("CREATE VIEW plain.trips AS SELECT * FROM plain.raw_trips")
        for version in reversed(versions):
            write(folder, MONTH, **version)
            attempt(folder, strategy=strategy)
            published.add(state(connection, "raw_trips"))
    seen: set[State] = set()
    stop = threading.Event()

    def ask(table: str) -> None:
        with connect(warehouse) as connection:
            connection.execute("SET statement_timeout = '10s'")
            while not stop.is_set():
                seen.add(state(connection, table))

    with running(partial(ask, "raw_trips"), partial(ask, "trips")) as readers:
        for turn in range(6):
            write(folder, MONTH, **versions[(turn + 1) % 2])
            assert attempt(folder, strategy=strategy).state == "success"
        stop.set()
        for reader in readers:
            reader.result(WAIT_S)
    assert seen == published


State = tuple[tuple[object, ...], ...]


def state(connection: psycopg.Connection[loading.Row], table: str) -> State:
    """Return what a reader sees of each month: its rows, and a sum over every one of them."""
    query = sql.SQL(
        "SELECT source_month, count(*), sum(hash_record_extended(t, 0)) FROM plain.{} t GROUP BY 1 ORDER BY 1"
    )
    return tuple(connection.execute(query.format(sql.Identifier(table))).fetchall())


READERS = {
    "select": "SELECT count(*) FROM plain.raw_trips",
    "prepared": "PREPARE counted AS SELECT count(*) FROM plain.raw_trips; EXECUTE counted",
    "table": "CREATE TEMP TABLE taken AS SELECT * FROM plain.raw_trips; SELECT count(*) FROM taken",
    "table of a view": "CREATE TEMP TABLE taken AS SELECT * FROM plain.trips; SELECT count(*) FROM taken",
    "insert": "CREATE TEMP TABLE taken (LIKE plain.raw_trips); INSERT INTO taken SELECT * FROM plain.trips; "
    "SELECT count(*) FROM taken",
    "cursor": "BEGIN; DECLARE c CURSOR FOR SELECT count(*) FROM plain.trips; FETCH c",
    "function": "SELECT plain.trips_there()",
}


def read(dsn: str, statements: str) -> int:
    """Run statements one by one; return the last one's number."""
    with connect(dsn) as connection:
        connection.execute("SET application_name = 'reader'")
        for statement in statements.split("; "):
            cursor = connection.execute(statement.encode())
        return int(cursor.fetchall()[0][0])


def copy_out(dsn: str) -> int:
    with connect(dsn) as connection:
        connection.execute("SET application_name = 'reader'")
        with connection.cursor().copy("COPY (SELECT row_number FROM plain.raw_trips) TO STDOUT") as copy:
            return sum(bytes(block).count(b"\n") for block in copy)


@pytest.mark.parametrize("reader", [*READERS, "copy"])
def test_a_reader_who_waits_for_a_swap_sees_the_whole_new_month(folder: Path, warehouse: str, reader: str) -> None:
    """Some readers take their snapshot before they wait for the table, so it is older than the rows that they read."""
    attempt(folder)
    with connect(warehouse) as connection:
        connection.execute("CREATE VIEW plain.trips AS SELECT * FROM plain.raw_trips")
        connection.execute(
            "CREATE FUNCTION plain.trips_there() RETURNS bigint STABLE LANGUAGE sql "
            "AS 'SELECT count(*) FROM plain.trips'"
        )
    new = write(folder, MONTH, seed=1, rows=900)
    due = order(folder)
    ask = partial(copy_out, warehouse) if reader == "copy" else partial(read, warehouse, READERS[reader])
    with connect_loader("test") as connection, connection.transaction():
        load.strategy("swap").publish(connection, due)
        with running(ask) as (asked,):
            waiting(warehouse, name="reader")
            connection.execute("COMMIT")
            assert asked.result(WAIT_S) == new


@EACH
def test_a_reader_with_an_older_snapshot_sees_the_version_that_the_strategy_declares(
    folder: Path, warehouse: str, strategy: str
) -> None:
    """It began before the load, reads after it, and never sees an empty month or part of one."""
    for month in (MONTH, OTHER):
        attempt(folder, month)
    with connect(warehouse) as now, connect(warehouse) as reader, reader.transaction():
        states = {"old": state(now, "raw_trips")}
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM pg_class")
        write(folder, MONTH, seed=1, rows=900)
        attempt(folder, strategy=strategy)
        states["new"] = state(now, "raw_trips")
        found = state(reader, "raw_trips")
    assert found == states[load.strategy(strategy).older_snapshot]
    assert states["new"] != states["old"]


@EACH
def test_a_new_month_does_not_show_in_an_older_snapshot(folder: Path, warehouse: str, strategy: str) -> None:
    attempt(folder)
    with connect(warehouse) as reader, reader.transaction():
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        before = state(reader, "raw_trips")
        attempt(folder, OTHER, strategy=strategy)
        assert state(reader, "raw_trips") == before


FULL_REFRESH = {
    "truncate and insert": "TRUNCATE plain.raw_trips; INSERT INTO plain.raw_trips SELECT * FROM kept",
    "a new table under the old name": "ALTER TABLE plain.raw_trips RENAME TO old_trips; "
    "CREATE TABLE plain.raw_trips AS SELECT * FROM kept",
}


@pytest.mark.parametrize(("way", "in_the_view"), list(zip(FULL_REFRESH, ["nothing", "the old rows"], strict=True)))
def test_the_usual_full_refresh_does_not_keep_the_promise(
    folder: Path, warehouse: str, way: str, in_the_view: str
) -> None:
    """This is why `overwrite` deletes and inserts: readers with an older snapshot use the table, or a view of it."""
    old = attempt(folder).entry.row_count
    with connect(warehouse) as writer, connect(warehouse) as reader, reader.transaction():
        writer.execute("CREATE VIEW plain.trips AS SELECT * FROM plain.raw_trips")
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM pg_class")
        writer.execute("CREATE TEMP TABLE kept AS SELECT * FROM plain.raw_trips")
        with writer.transaction():
            writer.execute(FULL_REFRESH[way].encode())
        query = "SELECT (SELECT count(*) FROM plain.raw_trips), (SELECT count(*) FROM plain.trips)"
        assert reader.execute(query).fetchall() == [(0, old if in_the_view == "the old rows" else 0)]


def test_a_swap_yields_to_a_long_reader_and_others_keep_reading(folder: Path, warehouse: str) -> None:
    attempt(folder)
    new = write(folder, MONTH, seed=1, rows=900)
    long = connect(warehouse)
    long.execute("BEGIN")
    old = long.execute("SELECT count(*) FROM plain.raw_trips").fetchall()
    with running(partial(attempt, folder)) as (swap,), closing(long):
        for _ in range(3):
            waiting(warehouse)
            with connect(warehouse) as short:
                short.execute("SET statement_timeout = '10s'")
                assert short.execute("SELECT count(*) FROM plain.raw_trips").fetchall() == old
        assert not swap.done()
        long.execute("COMMIT")
        assert swap.result(WAIT_S).state == "success"
    assert count(warehouse) == new


def test_a_swap_that_never_gets_through_is_busy_and_changes_nothing(
    folder: Path, warehouse: str, short_wait: None
) -> None:
    attempt(folder)
    before = ledger(warehouse), relations(warehouse)
    write(folder, MONTH, seed=1)
    with connect(warehouse) as long, long.transaction():
        old = long.execute("SELECT count(*) FROM plain.raw_trips").fetchall()
        with pytest.raises(
            Busy, match=r"raw_trips: the lock was not free for 0\.5 s, and a session .pid \d+. holds it; "
        ):
            attempt(folder)
        assert long.execute("SELECT count(*) FROM plain.raw_trips").fetchall() == old
    assert (ledger(warehouse), relations(warehouse)) == before
    assert attempt(folder).state == "success"


@IN_PLACE
def test_a_strategy_in_place_does_not_wait_for_a_long_reader(
    folder: Path, warehouse: str, short_wait: None, strategy: str
) -> None:
    attempt(folder)
    new = write(folder, MONTH, seed=1, rows=900)
    with connect(warehouse) as long, long.transaction():
        long.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        before = state(long, "raw_trips")
        assert attempt(folder, strategy=strategy).state == "success"
        assert state(long, "raw_trips") == before
    assert count(warehouse) == new


@EACH
def test_a_new_month_does_not_wait_for_a_long_reader(
    folder: Path, warehouse: str, short_wait: None, strategy: str
) -> None:
    attempt(folder)
    with connect(warehouse) as long, long.transaction():
        long.execute("SELECT count(*) FROM plain.raw_trips")
        assert attempt(folder, OTHER, strategy=strategy).state == "success"


# --- schemas and tables that are not as ours --------------------------------------------------------------------------


@pytest.mark.parametrize("schema", ["select", "none", "_", "x" * 40])
def test_a_schema_may_be_named_by_a_keyword(folder: Path, warehouse: str, schema: str) -> None:
    for state in ("success", "unchanged"):
        assert attempt_zones(folder, schema=schema).state == state
        assert attempt(folder, schema=schema).state == state
    for strategy in reversed(STRATEGIES):
        assert attempt(folder, schema=schema, strategy=strategy, force=True).state == "success"
    assert relations(warehouse, schema) == EMPTY | {"raw_trips_2024_01"}


ALTERED = {
    "a type of the same width": "ALTER TABLE plain.raw_trips ALTER fare_amount TYPE bigint USING 1",
    "another type": "ALTER TABLE plain.raw_trips ALTER fare_amount TYPE numeric",
    "another name": "ALTER TABLE plain.raw_trips RENAME extra TO extras",
    "two names exchanged": "ALTER TABLE plain.raw_trips RENAME extra TO a; "
    "ALTER TABLE plain.raw_trips RENAME mta_tax TO extra; "
    "ALTER TABLE plain.raw_trips RENAME a TO mta_tax",
    "a column more": "ALTER TABLE plain.raw_trips ADD note text",
    "a column less": "ALTER TABLE plain.raw_trips DROP trip_type",
    "dropped and added": "ALTER TABLE plain.raw_trips DROP extra; "
    "ALTER TABLE plain.raw_trips ADD extra double precision",
}


@pytest.mark.parametrize("alteration", ALTERED)
@EACH
def test_an_altered_table_is_refused_before_anything_is_copied(
    folder: Path, warehouse: str, alteration: str, strategy: str
) -> None:
    attempt(folder)
    with connect(warehouse) as connection:
        connection.execute(ALTERED[alteration].encode())
    before = rows(warehouse)
    for force in (False, True):
        with pytest.raises(SchemaDrift, match="is not the table that green declares"):
            attempt(folder, strategy=strategy, force=force)
    assert rows(warehouse) == before


def test_a_table_of_the_users_under_our_name_is_not_touched(folder: Path, warehouse: str) -> None:
    with connect(warehouse) as connection:
        connection.execute(
            "CREATE SCHEMA plain; CREATE TABLE plain.raw_trips (mine text); INSERT INTO plain.raw_trips VALUES ('x')"
        )
    with pytest.raises(SchemaDrift, match="is not the table that green declares"):
        attempt(folder)
    assert rows(warehouse) == [("x",)]


@IN_PLACE
def test_a_users_view_of_a_partition_stops_only_the_swap(folder: Path, warehouse: str, strategy: str) -> None:
    attempt(folder)
    with connect(warehouse) as connection:
        connection.execute("CREATE VIEW plain.january AS SELECT * FROM plain.raw_trips_2024_01")
    before = rows(warehouse)
    write(folder, MONTH, seed=1)
    with pytest.raises(PermanentError, match="depend"):
        attempt(folder)
    assert rows(warehouse) == before
    assert attempt(folder, strategy=strategy).state == "success"


SERVER_SETTINGS = [
    "default_transaction_isolation = 'repeatable read'",
    "default_transaction_isolation = 'serializable'",
    "DateStyle = 'German'",
    "search_path = 'nowhere'",
    "lock_timeout = '1ms'",
    "client_encoding = 'LATIN1'",
    "standard_conforming_strings = off",
    "TimeZone = 'Asia/Kathmandu'",
]


@pytest.mark.parametrize("setting", SERVER_SETTINGS)
def test_settings_of_the_database_for_its_sessions_do_not_matter(folder: Path, warehouse: str, setting: str) -> None:
    plain = attempt(folder, schema="before")
    attempt(folder)
    with connect(warehouse) as connection:
        (name,) = connection.execute("SELECT current_database()").fetchall()[0]
        connection.execute(sql.SQL("ALTER DATABASE {} SET {}").format(sql.Identifier(name), sql.SQL(setting)))
    late = order(folder)
    assert attempt(folder, force=True).entry.content_digest == plain.entry.content_digest
    assert attempt(folder).state == "unchanged"
    assert load.load(late).superseded


def test_under_repeatable_read_a_loader_that_waited_still_sees_what_the_other_published(
    folder: Path, warehouse: str
) -> None:
    load.begin(SCHEMA)
    with connect(warehouse) as connection:
        (name,) = connection.execute("SELECT current_database()").fetchall()[0]
        query = sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'")
        connection.execute(query.format(sql.Identifier(name)))
    with held(warehouse) as holder, running(partial(attempt, folder), partial(attempt, folder)) as loads:
        waiting(warehouse, 2)
        holder.execute("ROLLBACK")
        assert sorted(done.result(WAIT_S).state for done in loads) == ["success", "unchanged"]


def test_a_role_that_may_not_create_schemas_can_use_one_made_for_it(
    folder: Path, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(warehouse)
    role = sql.Identifier(f"role_{parts['dbname']}")
    with connect(warehouse) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
        try:
            connection.execute(sql.SQL("CREATE SCHEMA plain AUTHORIZATION {}").format(role))
            monkeypatch.setenv(
                "TRIPTYCH_DSN", psycopg.conninfo.make_conninfo(warehouse, user=f"role_{parts['dbname']}", password="x")
            )
            settings.cache_clear()
            assert attempt(folder).state == "success"
            with pytest.raises(PermanentError, match="permission denied"):
                load.begin("another")
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {role} CASCADE; DROP ROLE {role}").format(role=role))


def test_a_role_that_does_not_own_the_ledger_can_create_a_table_that_is_missing(
    folder: Path, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(warehouse)
    role = sql.Identifier(f"role_{parts['dbname']}")
    load.begin(SCHEMA)
    with connect(warehouse) as connection:
        connection.execute("DROP TABLE plain.raw_zones")
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
        try:
            for right in ("CREATE, USAGE ON SCHEMA plain", "SELECT ON plain.load_ledger", "USAGE ON plain.load_fence"):
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(right), role))
            monkeypatch.setenv(
                "TRIPTYCH_DSN", psycopg.conninfo.make_conninfo(warehouse, user=f"role_{parts['dbname']}", password="x")
            )
            settings.cache_clear()
            assert load.begin(SCHEMA) > 0
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {role} CASCADE; DROP ROLE {role}").format(role=role))


def test_every_strategy_is_implemented_and_says_what_it_costs() -> None:
    assert tuple(load.STRATEGIES) == STRATEGIES
    for name in STRATEGIES:
        assert len(load.strategy(name).trade_offs) > 200
        # One paragraph.
        assert "\n\n" not in load.strategy(name).trade_offs


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(UsageError, match="'truncate' is not a strategy: choose one of swap, delete-append, overwrite"):
        load.strategy("truncate")


def test_busy_and_lost_connections_are_tried_again() -> None:
    assert issubclass(Busy, TransientError) and issubclass(DatabaseUnavailable, TransientError)


# --- size -------------------------------------------------------------------------------------------------------------

# VmHWM rather than ru_maxrss, which begins at what the parent had when it forked.
PEAK = """
import re, sys
from pathlib import Path
from tests.integration.loading import attempt
rows = attempt(Path(sys.argv[1])).entry.row_count
print(rows, re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_month(folder: Path, warehouse: str) -> None:
    """Four times the rows, in one row group as the publisher writes them, must not cost a quarter more."""
    path = folder / sample.file_name(MONTH)
    table = pq.read_table(path)
    peaks = []
    for batches in (1, 4):
        many = pa.concat_tables([table] * (1 + batches * reading.BATCH_ROWS // table.num_rows))
        pq.write_table(many.combine_chunks(), path)
        done = subprocess.run([sys.executable, "-c", PEAK, str(folder)], capture_output=True, text=True, check=True)
        loaded, peak = map(int, done.stdout.split())
        assert loaded == many.num_rows
        peaks.append(peak)
    assert peaks[1] < 1.25 * peaks[0], peaks
