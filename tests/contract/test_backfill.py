"""What a backfill leaves behind, on every orchestrator: the baseline's tables, and a record of how it made them."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import psutil
import pytest

from core.lab import processes
from core.lab.protocol import BackfillResult
from core.lab.registry import orchestrators
from core.lab.runs import Runs
from core.run import TASKS
from tests.contract.bench import MONTHS, Bench, Schema
from tests.planted import files, leaks, tables

THREE = MONTHS[:3]


@pytest.fixture(scope="module")
def first(bench: Bench, orchestrator: str) -> tuple[Schema, BackfillResult]:
    """Three months, loaded into a schema of their own."""
    schema = bench.schema()
    return schema, bench.backfill(orchestrator, THREE, bench.folder, schema)


def test_its_tables_are_identical_to_the_baselines(bench: Bench, first: tuple[Schema, BackfillResult]) -> None:
    schema, result = first
    assert result.status == "success"
    assert [(month.month, month.state, month.error) for month in result.months] == [(m, "success", None) for m in THREE]
    assert bench.tables(schema) == bench.baseline(bench.folder, THREE)


def test_its_runs_are_in_the_history(bench: Bench, orchestrator: str, first: tuple[Schema, BackfillResult]) -> None:
    runs = Runs(bench.lab, orchestrators(bench.lab.settings)[orchestrator])
    newest = runs.newest("taxi_pipeline", limit=len(THREE))
    assert sorted((str(run.partition), run.cause, run.state) for run in newest) == [
        (month, "backfill", "success") for month in THREE
    ]


def test_an_independent_reader_finds_no_difference(bench: Bench, first: tuple[Schema, BackfillResult]) -> None:
    schema, _ = first
    assert bench.oracle(schema, bench.folder, THREE) == []


def test_every_month_and_task_is_recorded(bench: Bench, first: tuple[Schema, BackfillResult]) -> None:
    schema, result = first
    ledger = bench.ledger(schema)
    for month in result.months:
        entry = ledger[month.month]
        assert (month.rows, month.digest, month.source_sha256) == (
            entry.row_count,
            entry.content_digest,
            entry.source_sha256,
        )
        assert month.attempts == 1
        assert [task.task for task in month.tasks] == list(TASKS)
        for task in month.tasks:
            assert task.state in ("success", "unchanged")
            assert task.attempts == 1
            assert _instant(task.started_at) <= _instant(task.ended_at)
        assert {task.task: task.rows for task in month.tasks}["ingest_month"] == month.rows


def test_the_ledger_names_the_loader_and_its_run(
    bench: Bench, orchestrator: str, first: tuple[Schema, BackfillResult]
) -> None:
    schema, _ = first
    entries = list(bench.ledger(schema).values())
    assert {entry.loader for entry in entries} == {orchestrator}
    assert all(entry.run_id for entry in entries)


def test_no_secret_is_in_what_it_returns(bench: Bench, first: tuple[Schema, BackfillResult]) -> None:
    _, result = first
    assert bench.password not in json.dumps(result.to_json())


def test_no_secret_is_left_in_what_the_orchestrator_keeps(
    bench: Bench, orchestrator: str, first: tuple[Schema, BackfillResult]
) -> None:
    """Nor in its logs, in its history and in what `ps` shows; and no other user may read its home and its logs."""
    folder = bench.lab.settings.home / orchestrator
    assert [path for path in (folder, *folder.iterdir()) if path.is_dir() and path.stat().st_mode & 0o077] == []
    commands = [(str(each), " ".join(each.info["cmdline"] or []).encode()) for each in living(folder)]
    history = [text for database in bench.databases(orchestrator) for text in tables(database)]
    assert leaks([bench.password], [*files(folder), *commands, *history]) == []


def test_its_services_listen_on_loopback_only(
    bench: Bench, orchestrator: str, first: tuple[Schema, BackfillResult]
) -> None:
    found = [each for process in living(bench.lab.settings.home) for each in process.info["net_connections"] or []]
    listening = {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN and len(each.laddr) == 2}
    # gRPC binds IPv4 addresses mapped into IPv6.
    listening = {address.removeprefix("::ffff:") for address in listening}
    assert listening == {"127.0.0.1"}, "PostgreSQL at least"


def living(folder: Path) -> list[psutil.Process]:
    """Return the processes that run on behalf of `folder`, all read at once: they come and go."""
    pids = {process.pid for process in processes.members(folder)}
    return [each for each in psutil.process_iter(["cmdline", "net_connections"]) if each.pid in pids]


def test_the_same_again_changes_nothing(bench: Bench, orchestrator: str, first: tuple[Schema, BackfillResult]) -> None:
    schema, _ = first
    before = bench.ledger(schema)
    again = bench.backfill(orchestrator, THREE, bench.folder, schema)
    assert [(month.month, month.state) for month in again.months] == [(month, "unchanged") for month in THREE]
    assert bench.ledger(schema) == before
    assert bench.tables(schema) == bench.baseline(bench.folder, THREE)


def test_months_out_of_order_with_a_gap_then_the_range_over_them(bench: Bench, orchestrator: str) -> None:
    schema = bench.schema()
    scattered = bench.backfill(orchestrator, (MONTHS[2], MONTHS[0]), bench.folder, schema)
    assert {month.month: month.state for month in scattered.months} == {MONTHS[2]: "success", MONTHS[0]: "success"}
    assert bench.tables(schema) == bench.baseline(bench.folder, (MONTHS[0], MONTHS[2]))
    whole = bench.backfill(orchestrator, THREE, bench.folder, schema)
    states = {month.month: month.state for month in whole.months}
    assert states == {MONTHS[0]: "unchanged", MONTHS[1]: "success", MONTHS[2]: "unchanged"}
    assert bench.tables(schema) == bench.baseline(bench.folder, THREE)


def test_a_file_that_the_publisher_replaced_is_loaded_again(bench: Bench, orchestrator: str) -> None:
    schema, folder = bench.schema(), bench.copy_of(bench.folder)
    bench.backfill(orchestrator, THREE[:2], folder, schema)
    bench.replace(folder, THREE[0])
    result = bench.backfill(orchestrator, THREE[:2], folder, schema)
    assert [(month.month, month.state) for month in result.months] == [(THREE[0], "success"), (THREE[1], "unchanged")]
    assert bench.tables(schema) == bench.baseline(folder, THREE[:2]) != bench.baseline(bench.folder, THREE[:2])


def test_real_months_are_identical_too(
    bench: Bench, orchestrator: str, real_months: tuple[Path, tuple[str, ...]]
) -> None:
    folder, months = real_months
    schema = bench.schema()
    result = bench.backfill(orchestrator, months, folder, schema)
    assert [(month.month, month.state, month.error) for month in result.months] == [
        (m, "success", None) for m in months
    ]
    assert bench.tables(schema) == bench.baseline(folder, months)
    assert bench.oracle(schema, folder, months) == []


def test_a_fourth_orchestrator_is_a_folder_and_is_compared_like_the_others(bench: Bench) -> None:
    """The toy lies outside the checkout's adapters, and the lab knows it by TRIPTYCH_IMPLS only."""
    schema = bench.schema()
    result = bench.backfill("toy", THREE, bench.folder, schema)
    assert [(month.month, month.state, month.error) for month in result.months] == [(m, "success", None) for m in THREE]
    assert bench.tables(schema) == bench.baseline(bench.folder, THREE)
    assert {entry.loader for entry in bench.ledger(schema).values()} == {"toy"}


def _instant(text: str | None) -> dt.datetime:
    assert text is not None
    instant = dt.datetime.fromisoformat(text)
    assert instant.tzinfo is not None, f"{text} has no offset"
    return instant
