"""From what Airflow recorded of a run to the record of its month."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_impl.lab import history
from airflow_impl.lab.history import one_line
from core.lab.protocol import MonthRecord
from core.run import TASKS
from tests.native.airflow.api import client_of, dag_run, server_of_one_run


def failed_with(log: list[dict[str, Any]]) -> MonthRecord:
    """Return the record of a run whose task `ingest_month` failed and left `log`."""
    states = dict.fromkeys((*TASKS, "pending"), "upstream_failed") | {
        "ingest_zones": "success",
        "ingest_month": "failed",
    }
    return history.record(client_of(server_of_one_run(states, log)), dag_run("2024-01", state="failed"))


def test_a_month_that_was_loaded_before_is_unchanged() -> None:
    server = server_of_one_run(dict.fromkeys(TASKS, "success"), [])
    record = history.record(client_of(server), dag_run("2024-01"))
    assert (record.state, record.rows, record.attempts, record.error) == ("unchanged", 5, 1, None)
    assert [task.state for task in record.tasks] == ["success", "unchanged", "success", "success", "success"]


def test_a_month_with_nothing_pending_has_skipped_steps_and_did_not_fail() -> None:
    states = dict.fromkeys(TASKS, "success") | {"pending": "success", "transform": "skipped", "check": "skipped"}
    record = history.record(client_of(server_of_one_run(states, [])), dag_run("2024-01"))
    assert (record.state, record.error) == ("unchanged", None)
    assert [(task.task, task.state) for task in record.tasks][2:] == [
        ("transform", "skipped"), ("check", "skipped"), ("report", "success"),
    ]  # fmt: skip


def test_a_branch_that_failed_is_the_cause_of_its_months_failure() -> None:
    states = dict.fromkeys(TASKS, "upstream_failed") | {
        "ingest_zones": "success", "ingest_month": "success", "pending": "failed",
    }  # fmt: skip
    detail = [{"exc_type": "DatabaseUnavailable", "exc_value": "the server is gone"}]
    log = [{"event": "Task failed", "level": "error", "error_detail": detail}]
    record = history.record(client_of(server_of_one_run(states, log)), dag_run("2024-01", state="failed"))
    assert (record.state, record.error) == ("failed", "the server is gone")
    assert [task.state for task in record.tasks][2:] == ["upstream failed"] * 3


def test_a_failed_month_has_the_message_of_its_exception() -> None:
    detail = [{"exc_type": "NotPublished", "exc_value": "2024-01 is not published yet"}]
    record = failed_with([{"event": "::group::"}, {"event": "Task failed", "level": "error", "error_detail": detail}])
    assert (record.state, record.error) == ("failed", "2024-01 is not published yet")
    assert [task.state for task in record.tasks] == ["success", "failed", *["upstream failed"] * 3]


def test_the_message_is_that_of_the_exception_and_not_of_its_cause() -> None:
    detail = [
        {"exc_type": "SourceUnavailable", "exc_value": "http://x/a.parquet: x refuses connections"},
        {"exc_type": "ConnectError", "exc_value": "refused"},
    ]
    record = failed_with([{"event": "Task failed", "level": "error", "error_detail": detail}])
    assert record.error == "http://x/a.parquet: x refuses connections"


def test_a_month_whose_process_was_killed_says_so() -> None:
    log = [{"event": "Process terminated by signal.", "level": "critical"}, {"event": "::endgroup::"}]
    assert failed_with(log).error == "Process terminated by signal."


@pytest.mark.parametrize(
    ("exception", "message", "line"),
    [
        ("BadFile", "not parquet:\n  a.parquet", "not parquet: a.parquet"),
        ("KeyError", "'rows'", "KeyError: 'rows'"),
    ],
)
def test_an_error_is_one_line(exception: str, message: str, line: str) -> None:
    assert one_line(exception, message) == line
