"""The flow of a range: a month that fails holds back no other, and each month and step is recorded with its month."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.states import State

from core.errors import BadFile
from core.lab.protocol import TAXI_RANGE, RunRecord
from core.lab.protocol.ranges import months_of
from core.month import Month
from core.run import TASKS, RunParameters
from core.waiting import until
from prefect_impl import range_flow
from prefect_impl.flows import check
from prefect_impl.lab.client import Prefect
from prefect_impl.lab.runs import observed
from tests.native.prefect.conftest import Steps

PARAMETERS = RunParameters("folder", "a_schema")


def run(months: str) -> State[Any]:
    """Run the flow, and return how it ended."""
    state: State[Any] = range_flow.taxi_range(months, PARAMETERS, return_state=True)
    return state


def recorded(server: Prefect, ended: State[Any]) -> RunRecord:
    """Return the record of an ended run once all of its task runs have arrived, from an event stream."""

    def complete() -> RunRecord | None:
        record = observed(server, TAXI_RANGE.name, str(ended.state_details.flow_run_id))
        return record if record.has_ended else None

    return until(complete, 90.0, 0.2, "the record of the run")


@pytest.mark.usefixtures("server")
def test_every_step_runs_for_every_month(steps: Steps) -> None:
    ended = run("2024-01,2024-02")
    assert (ended.is_completed(), ended.message) == (True, "2 months run")
    assert sorted(steps.called) == sorted([*TASKS] * 2)


def test_a_bad_month_holds_back_no_other(steps: Steps, server: Prefect, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = range_flow.run_steps

    def bad(run: Any, month: Month) -> Any:
        if month == Month(2024, 2):
            raise BadFile("a web page")
        return whole(run, month)

    monkeypatch.setattr(range_flow, "run_steps", bad)
    ended = run("2024-01..2024-03")
    assert (ended.is_failed(), ended.message) == (True, "1 of 3 months failed: 2024-02: a web page")
    assert steps.called.count(check.fn.__name__) == 2


def test_a_step_is_recorded_with_the_month_whose_task_called_it(steps: Steps, server: Prefect) -> None:
    ended = run("2024-05")
    record = recorded(server, ended)
    assert {f"{name}[2024-05]" for name in TAXI_RANGE.tasks} <= {task.task for task in record.tasks}


def test_a_month_with_nothing_pending_has_skipped_its_steps_and_did_not_fail(steps: Steps, server: Prefect) -> None:
    steps.pending = ()
    ended = run("2024-05,2024-06")
    record = recorded(server, ended)
    states = {task.task: task.state for task in record.tasks}
    assert [states[f"{name}[2024-06]"] for name in TAXI_RANGE.tasks] == ["success", "success", "skipped", "skipped"]
    assert [month.state for month in months_of(record, ["2024-05", "2024-06"])] == ["success", "success"]
