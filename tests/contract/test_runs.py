"""What a person does with single runs: start one by hand, look at it, list all, cancel one, find its processes."""

from __future__ import annotations

import datetime as dt

import psutil
import pytest

from core.errors import UsageError
from core.lab.history import history
from core.lab.protocol import RunRecord
from core.lab.registry import BASELINE, orchestrators
from core.lab.runs import Runs
from core.run import TASKS
from core.waiting import until
from tests.contract.bench import MONTHS, Bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PIPELINE = "taxi_pipeline"


def runs_of(bench: Bench, orchestrator: str) -> Runs:
    """Return the runs of an orchestrator."""
    return Runs(bench.lab, orchestrators(bench.lab.settings)[orchestrator])


def ask(bench: Bench, runs: Runs) -> None:
    """Start a run by hand, and compare every fact that is told of it with what happened."""
    schema, month = bench.schema(), MONTHS[0]
    run_id = runs.start(PIPELINE, {"source": str(bench.folder), "schema": schema}, month)
    record = runs.observe(PIPELINE, run_id, wait_s=None)
    assert (record.orchestrator, record.pipeline, record.run_id) == (runs.orchestrator.name, PIPELINE, run_id)
    assert (record.state, record.error, record.partition, record.cause) == ("success", None, month, "manual")
    assert [(task.task, task.state, task.attempts) for task in record.tasks] == [(name, "success", 1) for name in TASKS]
    assert [task.returned["task"] for task in record.tasks] == list(TASKS)
    loaded = record.tasks[TASKS.index("ingest_month")]
    assert loaded.returned["digest"] == bench.ledger(schema)[month].content_digest
    assert loaded.rows == bench.ledger(schema)[month].row_count
    created, started, ended = (instant(text) for text in (record.created_at, record.started_at, record.ended_at))
    assert created <= (instant(record.launched_at) if record.launched_at else created) <= started <= ended
    listed = [run for run in runs.newest(PIPELINE) if run.run_id == run_id]
    assert [(run.state, run.cause, run.partition) for run in listed] == [("success", "manual", month)]
    assert runs.newest("no_such_pipeline") == []
    assert bench.tables(schema) == bench.baseline(bench.folder, [month])


def stop(bench: Bench, runs: Runs) -> RunRecord:
    """Cancel a run in the middle of its load; find the process that executes it before, and none after."""
    schema, month = bench.schema(), MONTHS[1]
    bench.backfill(BASELINE, [MONTHS[0]], bench.folder, schema)
    with bench.held_before_publishing(schema):
        run_id = runs.start(PIPELINE, {"source": str(bench.folder), "schema": schema}, month)
        until(lambda: is_loading(bench) or None, 240, 0.05, "a load in its middle")
        assert runs.observe(PIPELINE, run_id).state == "running"
        process = next(each for each in runs.processes() if each.record.role == "run")
        assert process.record.run_id == run_id
        assert process.identity.process() is not None
        runs.cancel(PIPELINE, run_id)
        until(lambda: process.identity.process() is None or None, 120, 0.1, "the end of the run's process")
        record = runs.observe(PIPELINE, run_id, wait_s=120)
    assert set(bench.ledger(schema)) == {MONTHS[0]}
    runs.cancel(PIPELINE, run_id)
    assert runs.observe(PIPELINE, run_id) == record, "one that has ended stays as it is"
    return record


def is_loading(bench: Bench) -> bool:
    """Return whether a loader waits with its transaction open: of the zones where these come before the month."""
    with bench.connect() as connection:
        query = """SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
                   AND application_name LIKE 'triptych pid=%'"""
        return connection.execute(query).fetchone() is not None


def instant(text: str | None) -> dt.datetime:
    assert text is not None
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC)


def test_a_run_by_hand_is_told_as_it_happened(bench: Bench, orchestrator: str) -> None:
    ask(bench, runs_of(bench, orchestrator))


def test_a_canceled_run_ends_and_publishes_nothing(bench: Bench, orchestrator: str) -> None:
    assert stop(bench, runs_of(bench, orchestrator)).state == "canceled"


def test_a_deleted_run_is_gone_and_its_tables_stay(bench: Bench, orchestrator: str) -> None:
    runs, schema, month = runs_of(bench, orchestrator), bench.schema(), MONTHS[0]
    run_id = runs.start(PIPELINE, {"source": str(bench.folder), "schema": schema}, month)
    assert runs.observe(PIPELINE, run_id, wait_s=None).state == "success"
    runs.delete(PIPELINE, run_id)
    assert run_id not in [run.run_id for run in runs.newest(PIPELINE)]
    assert bench.tables(schema) == bench.baseline(bench.folder, [month])


def test_every_service_has_a_role(bench: Bench, orchestrator: str) -> None:
    runs = runs_of(bench, orchestrator)
    started = bench.lab.start([runs.orchestrator])[orchestrator].processes
    found = {each.record.pid: each for each in runs.processes()}
    assert {each.pid for each in started} <= found.keys()
    assert all(psutil.pid_exists(pid) for pid in found)


@pytest.mark.without_baseline
def test_a_failed_month_of_a_backfill_is_retried_after_the_next_backfill(bench: Bench, orchestrator: str) -> None:
    good, bad, next_one = MONTHS[:3]
    runs, schema, folder = runs_of(bench, orchestrator), bench.schema(), bench.copy_of(bench.folder)
    file = folder / f"green_tripdata_{bad}.parquet"
    file.rename(file.with_suffix(".late"))
    assert bench.backfill(orchestrator, [good, bad], folder, schema).status == "failed"
    failed = next(run for run in runs.newest(PIPELINE) if (run.partition, run.state) == (bad, "failed"))
    file.with_suffix(".late").rename(file)
    assert bench.backfill(orchestrator, [next_one], folder, schema).status == "success"
    record = runs.observe(PIPELINE, runs.retry(PIPELINE, failed.run_id), wait_s=240)
    assert (record.state, record.error) == ("success", None)
    assert bench.tables(schema) == bench.baseline(bench.folder, MONTHS[:3])


def test_a_fourth_orchestrator_answers_the_same_questions(bench: Bench) -> None:
    runs = runs_of(bench, "toy")
    ask(bench, runs)
    assert stop(bench, runs).state == "canceled"
    (server,) = runs.processes()
    assert (server.record.role, server.record.run_id) == ("API", None)
    (canceled,) = runs.newest(limit=1)
    assert canceled.state == "canceled"
    runs.delete(PIPELINE, canceled.run_id)
    assert canceled.run_id not in [run.run_id for run in runs.newest()]


def test_a_pipeline_without_a_month(bench: Bench) -> None:
    runs, schema = runs_of(bench, "toy"), bench.schema()
    run_id = runs.start("zones", {"source": str(bench.folder), "schema": schema})
    record = runs.observe("zones", run_id, wait_s=None)
    assert (record.state, record.partition, [task.task for task in record.tasks]) == ("success", None, ["ingest_zones"])
    assert [run.run_id for run in runs.newest("zones", limit=5)] == [run_id]


def test_the_history_of_all_is_one_list(bench: Bench) -> None:
    chosen = [orchestrators(bench.lab.settings)[name] for name in (BASELINE, "toy")]
    bench.backfill(BASELINE, MONTHS[:1], bench.folder, bench.schema())
    runs_of(bench, "toy").start("zones", {"source": str(bench.folder), "schema": bench.schema()})
    ids = {each.name: runs_of(bench, each.name).newest(limit=1)[0].run_id for each in chosen}
    found = history(bench.lab.settings, chosen, None, 1000)
    assert (found.silent, found.failed) == ([], [])
    assert set(ids.items()) <= {(run.orchestrator, run.run_id) for run in found.runs}
    times = [instant(run.created_at) for run in found.runs]
    assert times == sorted(times, reverse=True)


def test_a_run_whose_process_is_killed_has_failed(bench: Bench) -> None:
    runs, schema = runs_of(bench, BASELINE), bench.schema()
    bench.backfill(BASELINE, [MONTHS[0]], bench.folder, schema)
    with bench.held_before_publishing(schema) as held:
        run_id = runs.start(PIPELINE, {"source": str(bench.folder), "schema": schema}, MONTHS[1])
        held.kill(MONTHS[1])
        record = runs.observe(PIPELINE, run_id, wait_s=60)
    assert (record.state, record.error) == ("failed", "its process ended before the run did")


def test_an_unknown_run_is_a_clear_line(bench: Bench) -> None:
    with pytest.raises(UsageError, match="plain has no run 'nope': `triptych runs --on plain` lists them"):
        runs_of(bench, BASELINE).observe(PIPELINE, "nope")
