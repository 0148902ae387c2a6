"""How the tasks of a run of any pipeline are read from the server's answers, and when all of them have arrived."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from core.lab.protocol import TAXI_RANGE
from core.run import TASKS
from prefect_impl.lab import tasks
from prefect_impl.lab.client import Json

LONG_AGO = "2024-01-01T00:00:00+00:00"
JUST_NOW = "2999-01-01T00:00:00+00:00"


def flow_run(kind: str = "COMPLETED", ended: str = LONG_AGO) -> Json:
    return {"state_type": kind, "state": {"name": kind.title(), "message": "the run's words"}, "end_time": ended}


def task_run(function: str, kind: str = "COMPLETED", named: str | None = None, **values: Any) -> Json:
    return {
        "id": function, "task_key": f"{function}-1a2b3c4d", "state_type": kind, "state_name": named or kind.title(),
        "name": f"{function}-0a1", "run_count": 2, "start_time": LONG_AGO, "end_time": LONG_AGO, "updated": LONG_AGO,
        "task_inputs": {},
        "state": {"message": f"{function}'s words", "name": named or kind.title(), "timestamp": LONG_AGO},
    } | values  # fmt: skip


def artifact(task: str, rows: list[Json], created: str = LONG_AGO) -> Json:
    return {"task_run_id": task, "type": "table", "data": json.dumps(rows), "created": created}


def states(run: Json, task_runs: list[Json], declared: list[str], artifacts: list[Json] | None = None) -> Json:
    return {each.task: each.state for each in tasks.records(run, task_runs, artifacts or [], declared)}


@pytest.mark.parametrize(
    ("run", "task", "named", "said"),
    [
        ("COMPLETED", "COMPLETED", None, "success"),
        ("COMPLETED", "COMPLETED", "Skipped", "skipped"),
        ("COMPLETED", "FAILED", "UpstreamFailed", "upstream failed"),
        ("FAILED", "PENDING", "NotReady", "upstream failed"),
        ("RUNNING", "RUNNING", None, "running"),
        ("RUNNING", "SCHEDULED", "AwaitingRetry", "queued"),
        ("CANCELLED", "RUNNING", None, "canceled"),
        ("CRASHED", "RUNNING", None, "failed"),
    ],
)
def test_the_state_of_a_task(run: str, task: str, named: str | None, said: str) -> None:
    (record,) = tasks.records(flow_run(run), [task_run("load", task, named)], [], ["load"])
    assert (record.task, record.state, record.attempts) == ("load", said, 2)


def test_the_declared_order_then_the_others_as_they_were_called() -> None:
    called = [task_run("other", id="4"), task_run("second", id="3"), task_run("first", id="2"), task_run("odd", id="1")]
    assert list(states(flow_run(), called, ["first", "second"])) == ["first", "second", "odd", "other"]


def test_the_calls_of_a_mapped_task_are_numbered() -> None:
    calls = [task_run("load", "FAILED", id="2"), task_run("load", id="1"), task_run("load", id="3")]
    assert states(flow_run(), calls, ["load"]) == {"load[0]": "success", "load[1]": "failed", "load[2]": "success"}


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("COMPLETED", "skipped"),
        ("FAILED", "upstream failed"),
        ("CRASHED", "upstream failed"),
        ("CANCELLED", "canceled"),
    ],
)
def test_a_task_that_was_never_created(run: str, said: str) -> None:
    assert states(flow_run(run), [], ["load"]) == {"load": said}
    assert states(flow_run("RUNNING"), [], ["load"]) == {}


def test_a_completed_run_that_lost_task_runs_did_not_skip_them() -> None:
    assert states(flow_run(), [], ["load"], [artifact("lost", [{}])]) == {"load": "success"}


def test_a_task_that_another_one_calls_is_labeled_with_its_name() -> None:
    month = task_run("month_steps", id="1", name="2024-02")
    steps = [
        task_run("load", id="2", task_inputs={"__parents__": [{"input_type": "task_run", "id": "1"}]}),
        task_run("load", id="3"),
    ]
    found = tasks.records(flow_run(), [month, *steps], [], ["load"])
    assert [each.task for each in found] == ["load[2024-02]", "load[1]", "month_steps"]


def test_the_call_of_a_deployment_is_named_after_its_flow() -> None:
    call = task_run("call", name="call", task_key="prefect.deployments.flow_runs.run_deployment.refresh")
    assert list(states(flow_run(), [call], [])) == ["refresh"]


@pytest.mark.parametrize(("name", "said"), [("renamed-0f3", "renamed"), ("load of 2024-01", "load")])
def test_the_name_of_a_task(name: str, said: str) -> None:
    assert list(states(flow_run(), [task_run("load", name=name)], [])) == [said]


def test_what_a_task_returned_is_its_last_artifact() -> None:
    receipt = {"state": "unchanged", "rows": 7}
    artifacts = [artifact("load", [receipt], JUST_NOW), artifact("load", [{"rows": 1}])]
    (record,) = tasks.records(flow_run(), [task_run("load")], artifacts, ["load"])
    assert (record.returned, record.rows, record.state) == (receipt, 7, "unchanged")


def test_a_table_of_several_rows_and_a_text() -> None:
    text = {"task_run_id": "text", "type": "markdown", "data": "words", "created": LONG_AGO}
    of_flow = {"task_run_id": None, "type": "markdown", "data": "of the flow", "created": LONG_AGO}
    found = tasks.returned_by([artifact("table", [{"a": 1}, {"a": 2}]), text, of_flow])
    assert found == {"table": [{"a": 1}, {"a": 2}], "text": "words"}


@pytest.mark.parametrize(
    ("found", "declared", "ago", "said"),
    [
        ([], ["load"], 50, False),
        ([], ["load"], 3600, True),
        ([task_run("load")], ["load"], 3, True),
        ([task_run("load")], ["load"], 0, False),
        ([task_run("load")], ["load", "check"], 3, False),
        ([task_run("load")], ["load", "check"], 9, True),
        ([task_run("load", updated="2024-01-01T00:00:05+00:00")], ["load", "check"], 17, False),
        ([task_run("load", updated="2024-01-01T00:00:05+00:00")], ["load", "check"], 19, True),
        ([task_run("load")], [], 3, False),
        ([task_run("load", "RUNNING")], ["load"], 10, False),
        ([task_run("load", "RUNNING")], ["load"], 3600, True),
        ([task_run("load", "PENDING", "NotReady")], ["load"], 3, True),
    ],
    ids=[
        "none", "none for a while", "all", "all, at once", "one of two", "one of two for a while",
        "one of two, late", "one of two, late, for a while", "not declared", "one runs", "one runs for ever",
        "not ready",
    ],
)  # fmt: skip
def test_when_a_run_has_settled(
    monkeypatch: pytest.MonkeyPatch, found: list[Json], declared: list[str], ago: int, said: bool
) -> None:
    monkeypatch.setattr(tasks, "now", lambda: dt.datetime.fromisoformat(LONG_AGO) + dt.timedelta(seconds=ago))
    assert tasks.settled(flow_run(), found, declared) is said


def test_the_cause_is_the_first_task_that_failed_itself() -> None:
    failed = [task_run("z", "FAILED", "UpstreamFailed"), task_run("b", "FAILED"), task_run("a", "FAILED")]
    assert tasks.cause(flow_run("FAILED"), failed, ["z", "a"]) == "a's words"
    assert tasks.cause(flow_run("FAILED"), failed, []) == "b's words"
    assert tasks.cause(flow_run("FAILED"), failed[:1], []) == "the run's words"


def test_without_further_pipelines_there_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIPTYCH_PIPELINES", raising=False)
    assert {name: each.tasks for name, each in tasks.pipelines().items()} == {
        "taxi_pipeline": list(TASKS),
        "taxi_range": TAXI_RANGE.tasks,
    }
