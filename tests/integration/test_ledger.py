"""The ledger records what is loaded, from which bytes, by whom, and which attempt is the younger one."""

from __future__ import annotations

import dataclasses
import datetime as dt
import logging
import shutil
from pathlib import Path
from unittest.mock import ANY

import pytest

from core import digest, ledger, load, pipeline
from core.database import connect
from core.datasets import GREEN, ZONES
from core.errors import Busy, PermanentError, SchemaDrift
from core.extract import sample
from core.month import Month
from core.run import Run
from tests.integration import loading
from tests.integration.loading import MONTH, OTHER, SCHEMA, WAIT_S, attempt, attempt_zones, order, running, waiting


def entry(month: dt.date | None = MONTH.first_day, fence: int = 7, seen: int = 0) -> ledger.Entry:
    return ledger.Entry(
        dataset="green", month=month, source_file="it's 100%.parquet", source_sha256="a" * 64, source_bytes=2**40,
        row_count=3, content_digest="b" * 32, declaration="c" * 16, strategy="swap", loader="plain", run_id="run",
        fence=fence, seen=seen,
    )  # fmt: skip


def test_an_entry_says_where_the_rows_came_from(folder: Path, warehouse: str) -> None:
    before = dt.datetime.now(dt.UTC)
    done = attempt(folder, loader="dagster", run_id="abc", strategy="delete-append")
    with connect("test") as connection:
        (found,) = ledger.entries(connection, SCHEMA)
        content = digest.table(connection, SCHEMA, "raw_trips")
    file = folder / sample.file_name(MONTH)
    assert (found.dataset, found.month, found.source_file) == ("green", MONTH.first_day, file.name)
    assert (found.source_bytes, found.row_count) == (file.stat().st_size, content.rows)
    assert (found.content_digest, found.declaration) == (content.hex, GREEN.declaration)
    assert (found.strategy, found.loader, found.run_id) == ("delete-append", "dagster", "abc")
    assert found.loaded_at is not None and found.loaded_at > before - dt.timedelta(minutes=5)
    assert dataclasses.replace(found, loaded_at=None) == done.entry


def test_an_entry_names_the_source_that_was_loaded_first(folder: Path, warehouse: str, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    for source in (folder, tmp_path / "copy"):
        pipeline.ingest_month(Run(str(source), SCHEMA, loader="test"), MONTH)
    with connect("test") as connection:
        assert [found.source for found in ledger.entries(connection, SCHEMA)] == [str(folder)]


def test_a_ledger_of_the_first_version_is_read_and_gets_its_column_with_the_next_load(
    folder: Path, warehouse: str
) -> None:
    old = attempt(folder).entry
    with connect("test") as connection:
        connection.execute(f"ALTER TABLE {SCHEMA}.load_ledger DROP COLUMN source".encode())
        connection.commit()
        assert ledger.schemas(connection) == ([SCHEMA], [])
        assert list(ledger.entries(connection, SCHEMA)) == [dataclasses.replace(old, loaded_at=ANY)]
        connection.rollback()
        pipeline.ingest_month(Run(str(folder), SCHEMA, loader="test"), OTHER)
        found = {entry.month: entry.source for entry in ledger.entries(connection, SCHEMA)}
    assert found == {MONTH.first_day: "", OTHER.first_day: str(folder)}


def history(schema: str = SCHEMA) -> list[tuple[dt.date | None, str, bool]]:
    """Return the month, the run and whether it is current, of each publication."""
    with connect("test") as connection:
        return [(one.entry.month, one.entry.run_id, one.is_current) for one in ledger.publications(connection, schema)]


def test_a_publication_moves_the_entry_that_it_replaces_to_the_history(folder: Path, warehouse: str) -> None:
    attempt_zones(folder, run_id="zones")
    first = attempt(folder, run_id="one").entry
    attempt(folder, OTHER, run_id="other")
    attempt(folder, run_id="two", force=True)
    loading.write(folder, seed=2)
    attempt(folder, run_id="three", strategy="upsert")
    assert attempt(folder, run_id="four").state == "unchanged"
    attempt_zones(folder, run_id="again", force=True)
    assert history() == [
        (MONTH.first_day, "one", False), (MONTH.first_day, "two", False), (MONTH.first_day, "three", True),
        (OTHER.first_day, "other", True), (None, "zones", False), (None, "again", True),
    ]  # fmt: skip
    with connect("test") as connection:
        found = [one.entry for one in ledger.publications(connection, SCHEMA)]
        assert found[0] == dataclasses.replace(first, loaded_at=ANY)
        assert [one for one in found if one.run_id in ("three", "other", "again")] == list(
            ledger.entries(connection, SCHEMA)
        )


def test_a_publication_that_is_rolled_back_moves_nothing(folder: Path, warehouse: str) -> None:
    attempt(folder, run_id="one")
    bad = order(folder, force=True)
    with pytest.raises(SchemaDrift):
        load.load(dataclasses.replace(bad, file=loading.lossy(bad.file)))
    with connect("test") as connection, connection.transaction(force_rollback=True):
        ledger.write(connection, SCHEMA, entry())
    assert history() == [(MONTH.first_day, "one", True)]


def test_a_ledger_without_a_history_is_read_and_gets_one_with_the_next_load(folder: Path, warehouse: str) -> None:
    attempt(folder, run_id="old")
    attempt(folder, OTHER, run_id="other")
    execute(f"DROP TABLE {SCHEMA}.load_history; ALTER TABLE {SCHEMA}.load_ledger DROP COLUMN source")
    assert history() == [(MONTH.first_day, "old", True), (OTHER.first_day, "other", True)]
    with connect("test") as connection:
        assert ledger.has_history(connection, SCHEMA) is None
    attempt(folder, run_id="new", force=True)
    assert history() == [
        (MONTH.first_day, "old", False), (MONTH.first_day, "new", True), (OTHER.first_day, "other", True),
    ]  # fmt: skip


def test_a_history_that_may_not_be_read_hides_no_ledger(folder: Path, warehouse: str) -> None:
    for _ in range(2):
        attempt(folder, force=True)
    with connect("test") as connection:
        connection.execute(
            f"CREATE ROLE reader; GRANT USAGE ON SCHEMA {SCHEMA} TO reader; "
            f"GRANT SELECT ON {SCHEMA}.load_ledger TO reader; SET LOCAL ROLE reader".encode()
        )
        assert ledger.has_history(connection, SCHEMA) is False
        assert [one.is_current for one in ledger.publications(connection, SCHEMA)] == [True]
        connection.rollback()
        assert ledger.has_history(connection, SCHEMA) is True


def test_another_table_of_that_name_is_told_apart(folder: Path, warehouse: str) -> None:
    attempt(folder)
    with connect("test") as connection:
        connection.execute("CREATE SCHEMA theirs; CREATE TABLE theirs.load_ledger (x int)")
        connection.execute(
            f"CREATE SCHEMA closed; CREATE TABLE closed.load_ledger (LIKE {SCHEMA}.load_ledger)".encode()
        )
        connection.execute("CREATE ROLE reader; GRANT USAGE ON SCHEMA theirs TO reader")
        try:
            assert ledger.schemas(connection) == (sorted(["closed", SCHEMA]), ["theirs"])
            connection.execute("SET LOCAL ROLE reader")
            assert ledger.schemas(connection) == ([], sorted(["closed", SCHEMA, "theirs"]))
        finally:
            connection.rollback()


def test_the_ledgers_digests_are_those_of_the_table(folder: Path, warehouse: str) -> None:
    attempt_zones(folder)
    for month in (OTHER, MONTH):
        attempt(folder, month)
    with connect("test") as connection:
        found = list(ledger.entries(connection, SCHEMA))
        months = digest.by_month(connection, SCHEMA, GREEN.table)
        zones = digest.table(connection, SCHEMA, ZONES.table)
    assert [(one.dataset, one.month) for one in found] == [
        ("green", MONTH.first_day),
        ("green", OTHER.first_day),
        ("zones", None),
    ]
    assert [one.content_digest for one in found] == [*(month.hex for month in months.values()), zones.hex]


def test_there_is_one_entry_for_a_dataset_and_month(warehouse: str) -> None:
    load.begin(SCHEMA)
    with connect("test") as connection:
        for fence in (1, 2):
            for month in (MONTH.first_day, OTHER.first_day, None):
                ledger.write(connection, SCHEMA, entry(month, fence))
        found = list(ledger.entries(connection, SCHEMA))
    assert [(one.month, one.fence) for one in found] == [(MONTH.first_day, 2), (OTHER.first_day, 2), (None, 2)]


def test_an_entry_reads_back_as_it_was_written(warehouse: str) -> None:
    load.begin(SCHEMA)
    with connect("test") as connection:
        before = ledger.next_fence(connection, SCHEMA)
        written = ledger.write(connection, SCHEMA, entry())
        found = ledger.read(connection, SCHEMA, "green", MONTH)
        assert found is not None
        assert dataclasses.replace(found, loaded_at=None) == written == entry(seen=written.seen)
        assert before < written.seen < ledger.next_fence(connection, SCHEMA)
        assert ledger.read(connection, SCHEMA, "green", OTHER) is None
        assert ledger.read(connection, SCHEMA, "green", None) is None
        assert ledger.read(connection, SCHEMA, "zones", MONTH) is None


def test_a_confirmed_entry_is_still_the_same_publication(warehouse: str) -> None:
    load.begin(SCHEMA)
    with connect("test") as connection:
        for month in (MONTH, OTHER):
            ledger.write(connection, SCHEMA, entry(month.first_day))
        before = ledger.read(connection, SCHEMA, "green", MONTH)
        confirmed = ledger.confirm(connection, SCHEMA, entry())
        after, other = (ledger.read(connection, SCHEMA, "green", month) for month in (MONTH, OTHER))
    assert before is not None and other is not None
    assert after == dataclasses.replace(before, seen=confirmed.seen)
    assert before.seen < other.seen < confirmed.seen


def test_fencing_tokens_grow_and_survive_a_rollback(folder: Path, warehouse: str) -> None:
    fences = [load.begin(SCHEMA) for _ in range(3)]
    with connect("test") as connection, connection.transaction(force_rollback=True):
        fences.append(ledger.next_fence(connection, SCHEMA))
    fences.append(load.begin(SCHEMA))
    assert fences == sorted(set(fences))


def test_each_schema_has_its_own_ledger(folder: Path, warehouse: str) -> None:
    attempt(folder, schema="one")
    load.begin("two")
    with connect("test") as connection:
        assert len(list(ledger.entries(connection, "one"))) == 1
        assert list(ledger.entries(connection, "two")) == []


def test_a_month_far_ahead_and_one_far_back_can_be_recorded(warehouse: str) -> None:
    load.begin(SCHEMA)
    with connect("test") as connection:
        for month in (Month(2013, 8), Month(9999, 12)):
            ledger.write(connection, SCHEMA, entry(month.first_day))
            assert ledger.read(connection, SCHEMA, "green", month) is not None


@pytest.mark.parametrize(
    ("change", "state"), [("row_count = 7", "success"), ("seen = 0", "unchanged"), ("seen = 9 * 10 ^ 15", "unchanged")]
)
def test_the_next_load_corrects_changed_numbers(folder: Path, warehouse: str, change: str, state: str) -> None:
    first = attempt(folder).entry
    execute(f"UPDATE {SCHEMA}.load_ledger SET {change}")
    late = order(folder)
    again = attempt(folder)
    assert (again.state, again.entry.row_count) == (state, first.row_count)
    assert again.entry.seen > late.fence > first.seen
    assert load.load(late).superseded


# --- a sequence that is behind the ledger: a database restored or replicated without its value ---

RESTORED = {
    "with its first value": f"ALTER SEQUENCE {SCHEMA}.load_fence RESTART",
    "with a small value": f"ALTER SEQUENCE {SCHEMA}.load_fence RESTART WITH 1",
    "at the ledger's own number": (
        f"SELECT setval('{SCHEMA}.load_fence', (SELECT max(seen) FROM {SCHEMA}.load_ledger), false)"
    ),
    "without it": f"DROP SEQUENCE {SCHEMA}.load_fence",
    "without it, to a clock that is behind": (
        f"UPDATE {SCHEMA}.load_ledger SET seen = 9 * 10 ^ 15; DROP SEQUENCE {SCHEMA}.load_fence"
    ),
}


def execute(statement: str) -> None:
    with connect("test") as connection:
        connection.execute(statement.encode())


def recorded() -> int:
    with connect("test") as connection:
        return max(max(entry.fence, entry.seen) for entry in ledger.entries(connection, SCHEMA))


@pytest.mark.parametrize("restored", RESTORED)
def test_a_sequence_behind_the_ledger_blocks_nothing(folder: Path, warehouse: str, restored: str) -> None:
    first = attempt(folder)
    attempt(folder, OTHER)
    execute(RESTORED[restored])
    before = recorded()
    assert attempt(folder, force=True).state == "success"
    assert attempt(folder).state == "unchanged"
    loading.write(folder, seed=2)
    changed = attempt(folder)
    assert changed.state == "success" and changed.entry.source_sha256 != first.entry.source_sha256
    assert changed.entry.seen > changed.entry.fence > before


def test_a_raised_sequence_is_logged_once(folder: Path, warehouse: str, caplog: pytest.LogCaptureFixture) -> None:
    attempt(folder)
    load.begin(SCHEMA)
    assert caplog.record_tuples == []
    execute(RESTORED["with a small value"])
    for _ in range(2):
        load.begin(SCHEMA)
    ((name, level, line),) = caplog.record_tuples
    assert (name, level) == ("core.ledger", logging.WARNING)
    assert line.startswith(f"{SCHEMA}.load_fence stood at 1, below ")


def test_concurrent_attempts_raise_the_sequence_once(
    folder: Path, warehouse: str, caplog: pytest.LogCaptureFixture
) -> None:
    attempt(folder)
    execute(RESTORED["with a small value"])
    before = recorded()
    # A load that has drawn its number, and has not committed yet
    with connect("test") as drawing:
        drawing.execute(f"SELECT nextval('{SCHEMA}.load_fence')".encode())
        with running(*[lambda: load.begin(SCHEMA)] * 3) as begun:
            waiting(warehouse, 3)
            drawing.commit()
            fences = [each.result(WAIT_S) for each in begun]
    assert len(set(fences)) == 3 and min(fences) > before
    assert len(caplog.record_tuples) == 1


def test_an_attempt_from_before_the_restore_does_not_publish_over_a_younger_one(folder: Path, warehouse: str) -> None:
    attempt(folder)
    for _ in range(5):
        load.begin(SCHEMA)
    # Its number is above the restored ledger
    late = order(folder)
    execute(RESTORED["with its first value"])
    loading.write(folder, seed=2)
    younger = attempt(folder)
    with pytest.raises(Busy):
        load.load(late)
    with connect("test") as connection:
        (found,) = ledger.entries(connection, SCHEMA)
    assert found.source_sha256 == younger.entry.source_sha256


def test_a_number_that_no_sequence_drew_is_refused_with_the_remedy(folder: Path, warehouse: str) -> None:
    attempt(folder)
    execute(f"UPDATE {SCHEMA}.load_ledger SET seen = 9223372036854775807")
    with pytest.raises(
        PermanentError, match=r"has 9223372036854775807 as fence or seen, .* set both to [0-9]+ in that row"
    ) as said:
        load.begin(SCHEMA)
    drawn = str(said.value).split("set both to ")[1].split()[0]
    execute(f"UPDATE {SCHEMA}.load_ledger SET fence = {drawn}, seen = {drawn}")
    assert attempt(folder, force=True).state == "success"
