"""The flows: the options of the tasks, how a month fails and is retried, and which months a backfill runs."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prefect import Flow, State, Task, runtime
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ParameterTypeError
from prefect.states import Completed, Crashed, Failed
from prefect.utilities.callables import parameter_schema

from core import waiting
from core.errors import RETRIES, RETRY_DELAY_S, BadFile, Busy, CheckFailed, SourceUnavailable, UsageError
from core.lab.protocol import MonthRecord
from core.run import CHOICES, HELP, TASK_TIMEOUT_S, TASKS, Receipt, RunParameters
from core.waiting import until
from prefect_impl import flows, naming, receipts, selection
from prefect_impl.lab import history
from prefect_impl.lab.client import Json, Prefect
from tests.native.prefect.conftest import Steps

PARAMETERS = RunParameters("folder", "a_schema")
COMPLETED, FAILED, CRASHED = StateType.COMPLETED, StateType.FAILED, StateType.CRASHED

TASK = [getattr(flows, name) for name in (*TASKS, "pending")]


def raises(error: Exception, times: int = 1_000) -> Callable[[], None]:
    """Return what a step does: raise `error` the first `times` times."""
    left = [error] * times

    def act() -> None:
        if left:
            raise left.pop()

    return act


# --- a step


@pytest.mark.parametrize("task", TASK, ids=lambda task: task.fn.__name__)
def test_every_task_has_the_retries_and_the_timeout_of_core_and_no_cache(task: Task[..., Receipt]) -> None:
    options = {"retries": RETRIES, "retry_delay_seconds": RETRY_DELAY_S, "retry_condition_fn": flows.is_transient}
    options |= {"timeout_seconds": TASK_TIMEOUT_S, "cache_policy": NO_CACHE, "persist_result": False}
    assert {name: getattr(task, name) for name in options} == options


@pytest.mark.parametrize(
    ("error", "again"),
    [(SourceUnavailable("503"), True), (Busy("lock"), True), (BadFile("html"), False), (KeyError("bug"), False)],
)
def test_only_a_transient_error_is_retried(error: Exception, again: bool) -> None:
    assert flows.is_transient(flows.check, None, Failed(data=error)) is again  # type: ignore[arg-type]


def test_a_receipt_is_saved_once_the_server_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PAUSE_S", 0.0)
    faults, saved = [httpx.ConnectError("refused"), httpx.ReadError("reset")], []

    def create(table: list[dict[str, Any]], key: str, description: str) -> None:
        if faults:
            raise faults.pop(0)
        saved.append((key, description, table[0]["rows"]))

    monkeypatch.setattr(receipts, "create_table_artifact", create)
    receipts.recorded("my_trips", Receipt("ingest_month", "success", "2024-01", rows=7))
    assert saved == [("my-trips-ingest-month-2024-01", "ingest_month 2024-01 -> my_trips: success, 7 rows", 7)]


# --- a month


@pytest.fixture
def run(
    server: Prefect, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[State[Any], MonthRecord]]:
    """Run a month in this process; return its state and the record that our client reads of it."""
    for task in TASK:
        # The delay of two seconds is checked above.
        monkeypatch.setattr(task, "retry_delay_seconds", 0)

    def run(month: str) -> tuple[State[Any], MonthRecord]:
        state = flows.taxi_pipeline(month, PARAMETERS, return_state=True)
        flow_run = server.call("GET", f"/flow_runs/{state.state_details.flow_run_id}")
        return state, until(lambda: history.record(server, [flow_run]), 60, 0.1, "the record of the month")

    return run


RunMonth = Callable[[str], tuple[State[Any], MonthRecord]]


def attempts(record: MonthRecord) -> dict[str, tuple[str, int]]:
    return {task.task: (task.state, task.attempts) for task in record.tasks}


def test_a_month_runs_its_steps_in_order_and_leaves_receipts(run: RunMonth, steps: Steps) -> None:
    state, record = run("2024-01")
    assert state.is_completed()
    assert set(steps.called[:2]) == {"ingest_zones", "ingest_month"}
    assert steps.called[2:] == ["transform", "check", "report"]
    assert (record.state, record.rows, record.digest, record.error) == ("success", 7, "d" * 32, None)
    assert attempts(record) == dict.fromkeys(TASKS, ("success", 1))
    assert steps.run is not None and steps.run.run_id == str(state.state_details.flow_run_id)


def test_a_month_with_warnings_is_completed_and_tells_their_number(run: RunMonth, steps: Steps) -> None:
    steps.warns = {"ingest_month": ("late",), "check": ("odd",)}
    state, record = run("2024-07")
    assert (state.name, state.message) == ("Completed", "success, 2 warnings")
    assert (record.state, record.warnings) == ("success", ["late", "odd"])


def test_a_permanent_error_fails_the_month_at_once_with_its_message(run: RunMonth, steps: Steps) -> None:
    steps.does["ingest_month"] = raises(BadFile("x.parquet is a web page"))
    state, record = run("2024-02")
    assert (state.name, state.message) == ("Failed", "x.parquet is a web page")
    assert (record.state, record.attempts, record.error) == ("failed", 1, "x.parquet is a web page")
    assert attempts(record) == {
        "ingest_zones": ("success", 1),
        "ingest_month": ("failed", 1),
        "transform": ("upstream failed", 0),
        "check": ("upstream failed", 0),
        "report": ("upstream failed", 0),
    }


def test_a_month_with_nothing_pending_skips_its_models_and_is_reported(run: RunMonth, steps: Steps) -> None:
    steps.pending = ()
    state, record = run("2024-09")
    assert (state.name, state.message) == ("Completed", "success, transform and check skipped")
    assert steps.called[2:] == ["report"]
    assert attempts(record) == dict.fromkeys(TASKS, ("success", 1)) | dict.fromkeys(
        ("transform", "check"), ("skipped", 0)
    )


def test_a_month_is_not_reported_after_a_failed_check(run: RunMonth, steps: Steps) -> None:
    steps.does["check"] = raises(CheckFailed("2 of 9 tests failed"))
    record = run("2024-10")[1]
    assert (record.error, attempts(record)["report"]) == ("2 of 9 tests failed", ("upstream failed", 0))


@pytest.mark.parametrize(
    ("failed", "completed"),
    [
        ("ingest_zones", ["ingest_month"]),
        ("ingest_month", ["ingest_zones"]),
        ("transform", ["ingest_zones", "ingest_month", "pending"]),
        ("check", ["ingest_zones", "ingest_month", "pending", "transform"]),
    ],
)
def test_a_failed_step_leaves_no_later_task_run_waiting(
    run: RunMonth, steps: Steps, server: Prefect, failed: str, completed: list[str]
) -> None:
    steps.does[failed] = raises(BadFile("bad"))
    state, _ = run("2024-06")
    runs = server.filter("task_runs", {"flow_runs": {"id": {"any_": [str(state.state_details.flow_run_id)]}}})
    assert {history.step(one): one["state_type"] for one in runs} == dict.fromkeys(completed, "COMPLETED") | {
        failed: "FAILED"
    }


def test_a_task_that_hangs_is_timed_out(run: RunMonth, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows.transform, "timeout_seconds", 0.2)
    steps.does["transform"] = lambda: until(lambda: None, 60, 0.01, "something that never comes")
    record = run("2024-08")[1]
    assert record.error == "Task run exceeded timeout of 0.2 second(s)"
    assert attempts(record)["transform"] == ("failed", 1)


def test_a_transient_error_costs_one_more_attempt(run: RunMonth, steps: Steps) -> None:
    steps.does["ingest_month"] = raises(SourceUnavailable("503"), times=1)
    assert attempts(run("2024-03")[1])["ingest_month"] == ("success", 2)


def test_a_lasting_transient_error_is_retried_as_often_as_core_says(run: RunMonth, steps: Steps) -> None:
    steps.does["ingest_zones"] = raises(SourceUnavailable("503"))
    record = run("2024-04")[1]
    assert (record.state, record.error) == ("failed", "503")
    assert attempts(record)["ingest_zones"] == ("failed", 1 + RETRIES)


def test_a_bug_is_not_retried_and_its_error_keeps_its_name(run: RunMonth, steps: Steps) -> None:
    steps.does["transform"] = raises(KeyError("rows"))
    record = run("2024-05")[1]
    assert record.error == "KeyError: 'rows'"
    assert attempts(record)["transform"] == ("failed", 1)


def test_a_month_that_does_not_exist_fails_before_any_step(server: Prefect, steps: Steps) -> None:
    state = flows.taxi_pipeline("2024-13", PARAMETERS, return_state=True)
    assert state.is_failed() and "2024-13" in str(state.message)
    assert steps.called == []


@pytest.mark.parametrize("parameters", [{"source": "folder"}, {"source": "x", "schema": "y", "unknown": 1}])
def test_run_parameters_with_a_key_missing_or_unknown_are_refused(parameters: Json) -> None:
    with pytest.raises(ParameterTypeError):
        flows.taxi_pipeline.validate_parameters({"month": "2024-01", "parameters": parameters})


# --- a backfill


class Deployment:
    """Stands in for the deployment of a month: how its runs end, and how many run at once."""

    def __init__(self) -> None:
        self.ends: dict[str, list[State[Any] | Exception]] = {}
        self.made: list[Json] = []
        self.running = self.most = 0

    async def run(self, name: str, **run: Any) -> SimpleNamespace:
        """The signature of `arun_deployment`, as far as it is used."""
        assert name == "taxi_pipeline/triptych"
        self.made.append(run)
        self.running += 1
        self.most = max(self.most, self.running)
        for _ in range(3):
            # Let the other months in.
            await asyncio.sleep(0)
        self.running -= 1
        ends = self.ends.get(run["parameters"]["month"], [])
        end = ends.pop(0) if ends else Completed()
        if isinstance(end, Exception):
            raise end
        return SimpleNamespace(state=end, state_type=end.type)

    @property
    def months(self) -> list[str]:
        """The months of the runs that were made, in order."""
        return [run["parameters"]["month"] for run in self.made]


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    stand_in = Deployment()
    monkeypatch.setattr(flows, "arun_deployment", stand_in.run)
    return stand_in


def backfill(months: list[str], which: selection.Which = "all", concurrency: int = 2) -> State[None]:
    return asyncio.run(flows.backfill.fn(months, PARAMETERS, which, concurrency))


MONTHS = ["2024-05", "2024-01", "2024-03", "2023-12"]


def test_a_backfill_is_one_run_per_month_in_the_order_given(deployment: Deployment) -> None:
    state = backfill(MONTHS)
    assert state.is_completed() and state.message == "4 of 4 months run"
    assert deployment.months == MONTHS
    assert deployment.made[0]["parameters"]["parameters"]["schema"] == PARAMETERS.schema
    assert len({run["idempotency_key"] for run in deployment.made}) == len(MONTHS)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_months_run_at_once_than_asked_for(deployment: Deployment, concurrency: int) -> None:
    backfill(MONTHS, concurrency=concurrency)
    assert deployment.most == concurrency


@pytest.mark.parametrize(
    ("end", "why"),
    [(Failed(message="a web page"), "a web page"), (Failed(), "Failed"), (RuntimeError("no server"), "no server")],
)
def test_a_bad_month_holds_back_no_other(deployment: Deployment, end: State[Any] | Exception, why: str) -> None:
    deployment.ends["2024-05"] = [end]
    state = backfill(MONTHS, concurrency=1)
    assert (state.name, state.message) == ("Failed", f"1 of 4 months failed: 2024-05: {why}")
    assert deployment.months == MONTHS


def test_a_month_whose_process_was_killed_is_run_again(deployment: Deployment) -> None:
    deployment.ends["2024-01"] = [Crashed()]
    assert backfill(["2024-01"]).is_completed()
    assert deployment.months == ["2024-01"] * 2
    assert len({run["idempotency_key"] for run in deployment.made}) == 2


def test_a_month_whose_process_is_always_killed_fails(deployment: Deployment) -> None:
    deployment.ends["2024-01"] = [Crashed()] * 10
    assert backfill(["2024-01"]).message == "1 of 1 month failed: 2024-01: Crashed"
    assert len(deployment.made) == 1 + RETRIES


def test_only_the_chosen_months_are_run(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    async def past(flow: str, parameters: RunParameters) -> dict[str, list[StateType]]:
        assert (flow, parameters) == ("taxi_pipeline", PARAMETERS)
        return {"2024-01": [COMPLETED], "2024-03": [FAILED]}

    monkeypatch.setattr(flows, "past_runs", past)
    assert backfill(MONTHS, "missing").message == "3 of 4 months run"
    assert deployment.months == ["2024-05", "2024-03", "2023-12"]


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"which": "some"}, {"months": "2024-01"}])
def test_a_backfill_with_a_wrong_parameter_is_refused(wrong: Json) -> None:
    with pytest.raises(ParameterTypeError):
        flows.backfill.validate_parameters(
            {"months": MONTHS, "parameters": PARAMETERS, "which": "all", "concurrency": 2, **wrong}
        )


# --- which months


@pytest.mark.parametrize(
    ("ends", "missing", "failed"),
    [
        ([], True, False),
        ([COMPLETED], False, False),
        ([FAILED], True, True),
        ([CRASHED], True, True),
        ([FAILED, COMPLETED], False, True),
        ([COMPLETED, FAILED], False, False),
    ],
    ids=["never run", "completed", "failed", "crashed", "failed since", "completed since"],
)
def test_what_missing_and_failed_mean(ends: list[StateType], missing: bool, failed: bool) -> None:
    assert selection.wanted("missing", ends) is missing
    assert selection.wanted("failed", ends) is failed
    assert selection.wanted("all", ends)


def test_a_month_named_twice_is_run_once_in_the_order_given() -> None:
    assert selection.select(["2024-03", "2024-01", "2024-03"], "all", {}) == ["2024-03", "2024-01"]


def test_past_runs_are_those_of_the_same_source_and_schema_newest_first(
    server: Prefect, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three runs are then two pages.
    monkeypatch.setattr(selection, "PAGE", 2)
    here, elsewhere = RunParameters("past", "here"), RunParameters("past", "elsewhere")
    steps.does["ingest_zones"] = raises(BadFile("bad"), times=1)
    for month, parameters in [("2024-01", here), ("2024-01", here), ("2024-02", here), ("2024-03", elsewhere)]:
        flows.taxi_pipeline(month, parameters, return_state=True)
    past = asyncio.run(selection.past_runs("taxi_pipeline", here))
    assert past == {"2024-01": [COMPLETED, FAILED], "2024-02": [COMPLETED]}


# --- how they look to a user


FLOWS: list[Flow[..., Any]] = [flows.taxi_pipeline, flows.backfill]


def test_the_flows_have_the_names_of_their_functions() -> None:
    assert [flow.name for flow in FLOWS] == [flow.fn.__name__ for flow in FLOWS]


def test_a_run_is_named_for_its_schema_and_month(run: RunMonth, server: Prefect, steps: Steps) -> None:
    flow_run_id = run("2024-09")[0].state_details.flow_run_id
    assert server.call("GET", f"/flow_runs/{flow_run_id}")["name"] == "a_schema 2024-09"


@pytest.mark.parametrize(
    ("months", "name"), [(["2024-02", "2024-01"], "2024-01..2024-02"), (["2024-01", "2024-03"], "2024-01,2024-03")]
)
def test_a_backfill_is_named_for_its_months_and_its_schema(
    monkeypatch: pytest.MonkeyPatch, months: list[str], name: str
) -> None:
    monkeypatch.setitem(runtime.flow_run.FIELDS, "parameters", lambda: {"months": months, "parameters": PARAMETERS})
    assert naming.backfill_name() == f"backfill {name} -> a_schema"


def test_a_run_is_tagged_with_its_schema_and_month(run: RunMonth, server: Prefect, steps: Steps) -> None:
    flow_run_id = run("2024-11")[0].state_details.flow_run_id
    assert set(server.call("GET", f"/flow_runs/{flow_run_id}")["tags"]) == {"a_schema", "2024-11"}


def test_a_backfill_with_a_month_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="'2024-13' is not a month: write it YYYY-MM"):
        flows.backfill.validate_parameters({"months": ["2024-01", "2024-13"], "parameters": PARAMETERS})


def test_a_failure_is_logged_without_the_frames_of_a_library(run: RunMonth, server: Prefect, steps: Steps) -> None:
    def cut() -> None:
        try:
            httpx.URL("x" * 100_000)
        except httpx.InvalidURL as error:
            raise SourceUnavailable("cut at byte 7") from error

    steps.does["ingest_month"] = cut
    flow_run_id = str(run("2024-12")[0].state_details.flow_run_id)

    def logged() -> list[str] | None:
        lines = server.filter("logs", {"logs": {"flow_run_id": {"any_": [flow_run_id]}}})
        texts = [str(line["message"]) for line in lines]
        return texts if any("Finished in state Failed('cut at byte 7')" in text for text in texts) else None

    texts = until(logged, 30, 0.1, "the run's last line")
    told = [text.splitlines()[0] for text in texts if "SourceUnavailable('cut at byte 7')" in text]
    assert [text.partition(" - ")[2].split(" will")[0] for text in told] == [
        "Retry 1/2", "Retry 2/2", "Retries are exhausted",
    ]  # fmt: skip
    assert not [text for text in texts if "httpx/" in text]


def test_what_a_step_logs_is_in_the_log_of_its_task_run(run: RunMonth, server: Prefect, steps: Steps) -> None:
    steps.does["ingest_month"] = lambda: logging.getLogger("core.load").info("copied 7 rows")
    flow_run_id = str(run("2024-10")[0].state_details.flow_run_id)
    of_run = {"flow_runs": {"id": {"any_": [flow_run_id]}}}
    (task,) = [one for one in server.filter("task_runs", of_run) if history.step(one) == "ingest_month"]

    def logged() -> bool | None:
        lines = server.filter("logs", {"logs": {"task_run_id": {"any_": [task["id"]]}}})
        return "copied 7 rows" in [line["message"] for line in lines] or None

    assert until(logged, 30, 0.1, "the line in the log of the task run")


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: str(flow.name))
def test_the_form_describes_every_field_and_offers_what_there_is_to_choose_from(flow: Flow[..., Any]) -> None:
    schema = parameter_schema(flow.fn)
    assert [name for name, field in schema.properties.items() if not field.get("description")] == []
    fields = schema.definitions["RunParameters"]["properties"]
    assert {name: field["description"] for name, field in fields.items()} == HELP
    assert {name: tuple(field["enum"]) for name, field in fields.items() if "enum" in field} == CHOICES


def test_the_form_offers_a_dataset_that_is_only_declared() -> None:
    code = "from tests.toy_dataset import declare; declare(); from prefect_impl.flows import taxi_pipeline"
    code += "; from prefect.utilities.callables import parameter_schema"
    code += "; fields = parameter_schema(taxi_pipeline.fn).definitions['RunParameters']['properties']"
    code += "; print(*fields['dataset']['enum'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split()[-3:] == ["green", "yellow", "toy"]
