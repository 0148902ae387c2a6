"""The DAG file: what it declares, what it costs to parse, and how a task becomes a call of the pipeline."""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import os
import subprocess
import sys
import traceback
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, RetryAction
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.serialization.encoders import coerce_to_core_timetable
from airflow.timetables.base import TimeRestriction

from airflow_impl.lab.client import DAG as DAG_ID
from airflow_impl.lab.history import BRANCH
from airflow_impl.lab.services import DAGS
from core import errors, pipeline
from core.lab.protocol import TAXI_RANGE, BackfillRequest
from core.month import EARLIEST, Month
from core.run import CHOICES, HELP, TASK_TIMEOUT_S, TASKS, Run, RunParameters

HEAVY = ("pyarrow", "psycopg", "pgpq", "pandas", "core.pipeline", "core.load", "core.extract")
PARAMETERS = BackfillRequest(months=["2024-01"], source="tlc", schema="s").parameters
ERRORS = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, Exception)]


@pytest.fixture(scope="session")
def dag() -> DAG:
    bag = DagBag(str(DAGS))
    assert bag.import_errors == {}
    assert sorted(bag.dags) == [DAG_ID, TAXI_RANGE.name]
    return bag.dags[DAG_ID]


@pytest.fixture(scope="session")
def module(dag: DAG) -> ModuleType:
    """The DAG file's own module, as the DAG bag imported it."""
    return sys.modules[dag.get_task("check").python_callable.__module__]


@pytest.fixture(scope="session")
def timetable(dag: DAG) -> Any:
    """The scheduler's side of the DAG's timetable."""
    return coerce_to_core_timetable(dag.timetable)


def run(**values: Any) -> Any:
    """Return what a task sees of its DAG run."""
    return SimpleNamespace(**{"run_id": "a-run", "partition_key": "2024-01"} | values)


def context_of(
    task: Any, events: OutletEventAccessors, month: str | None = None, checked: Any = None, **values: Any
) -> dict[str, Any]:
    """Return what Airflow passes to a task that asks for it by name: `month` is the param, `values` are the run's.

    `checked` is what the task `check` returned.
    """
    context = {"params": PARAMETERS | {"month": month}, "dag_run": run(**values), "outlet_events": events}
    context["checked"] = checked
    return {name: context[name] for name in inspect.signature(task.python_callable).parameters}


def utc(year: int, month: int) -> Any:
    from airflow.sdk.timezone import datetime

    return datetime(year, month, 1)


def test_its_tasks_are_the_steps_of_a_month(dag: DAG) -> None:
    assert {task.task_id: set(task.upstream_task_ids) for task in dag.tasks} == {
        "ingest_zones": set(),
        "ingest_month": set(),
        "pending": {"ingest_zones", "ingest_month"},
        "transform": {"pending"},
        "check": {"transform"},
        "report": {"pending", "check"},
    }
    assert set(dag.task_ids) == {*TASKS, BRANCH}


def test_the_join_runs_after_skipped_tasks_and_not_after_failed_ones(dag: DAG) -> None:
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}
    assert rules == dict.fromkeys(dag.task_ids, "all_success") | {"report": "none_failed_min_one_success"}


@pytest.mark.parametrize(("reasons", "followed"), [(("2024-01 loaded",), "transform"), ((), "report")])
def test_the_branch_follows_what_is_pending(
    dag: DAG, reasons: tuple[str, ...], followed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "pending", lambda run, month: reasons)
    task = dag.get_task(BRANCH)
    assert task.python_callable(**context_of(task, OutletEventAccessors())) == followed
    assert followed in task.downstream_task_ids


def test_parsing_it_imports_nothing_heavy() -> None:
    code = "import sys; from airflow.dag_processing.dagbag import DagBag; print(len(DagBag(sys.argv[1]).dags))"
    code += "; print(*sorted(set(sys.modules) & set(sys.argv[2:])))"
    command = [sys.executable, "-c", code, str(DAGS), *HEAVY]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    assert lines[-2:] == ["2", ""]


def test_a_backfill_has_one_run_for_each_month(timetable: Any) -> None:
    infos = list(timetable.iter_partition_dagrun_infos(earliest=utc(2023, 11), latest=utc(2024, 2)))
    assert [info.partition_key for info in infos] == ["2023-11", "2023-12", "2024-01", "2024-02"]


def test_a_scheduled_run_is_of_the_month_that_is_out(timetable: Any) -> None:
    restriction = TimeRestriction(utc(2024, 4), utc(2024, 4), catchup=True)
    info = timetable.next_dagrun_info_v2(last_dagrun_info=None, restriction=restriction)
    assert (info.run_after, info.partition_key) == (utc(2024, 4), "2024-01")


def test_a_manual_key_is_the_same_partition_as_a_backfills(timetable: Any) -> None:
    assert timetable.resolve_partition_date("2024-01") == utc(2024, 1)


def test_it_starts_with_the_publishers_first_month_and_does_not_catch_up(dag: DAG) -> None:
    assert dag.start_date == utc(*map(int, EARLIEST.split("-")))
    assert dag.catchup is False


def test_its_params_are_the_month_and_the_run_parameters(dag: DAG, module: ModuleType) -> None:
    fields = {field.name for field in dataclasses.fields(RunParameters)}
    assert next(iter(dag.params)) == "month", "the first field of the form"
    assert set(dag.params) - {"month"} == fields == set(PARAMETERS)
    assert module.run_of(dict(dag.params), run()).source == "sample"


def test_its_default_source_is_that_of_the_command_line() -> None:
    """In a process of its own: a DAG processor has no other setting of ours than this one."""
    code = "import sys; from airflow.dag_processing.dagbag import DagBag; dags = DagBag(sys.argv[1]).dags"
    code += "; print({dag.params['source'] for dag in dags.values()}.pop())"
    environ = os.environ | {"TRIPTYCH_SOURCE": "s3://bucket/folder", "TRIPTYCH_DSN_FILE": "/closed"}
    command = [sys.executable, "-c", code, str(DAGS)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "s3://bucket/folder"


def test_the_form_explains_every_field_and_offers_what_there_is_to_choose_from(dag: DAG) -> None:
    assert {name: dag.params.get_param(name).description for name in HELP} == HELP
    assert "partition key" in dag.params.get_param("month").description
    offered = {name: dag.params.get_param(name).schema.get("enum") for name in HELP}
    assert offered == {name: list(CHOICES[name]) if name in CHOICES else None for name in HELP}


def test_the_form_offers_a_dataset_that_is_only_declared() -> None:
    code = "from tests.toy_dataset import declare; declare(); from airflow_impl.steps import RUN_PARAMS"
    code += "; print(*RUN_PARAMS['dataset'].schema['enum'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split()[-3:] == ["green", "yellow", "toy"]


def test_its_pages_say_what_it_is_and_whose(dag: DAG) -> None:
    assert dag.description and "partition key" in (dag.doc_md or "")
    # A page shows an indented paragraph as code, and Airflow strips the indentation of a DAG's text only.
    assert [task.task_id for task in dag.tasks if not task.doc_md or "\n" in task.doc_md] == []
    assert {task.owner for task in dag.tasks} == {"triptych"}


def test_the_tasks_that_write_tables_name_them_as_assets(dag: DAG) -> None:
    assert {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks} == {
        "ingest_zones": ["raw_zones"],
        "ingest_month": ["raw_trips"],
        "transform": ["fct_trips", "daily_borough_stats"],
        "check": [],
        "pending": [],
        "report": [],
    }


def test_a_receipt_is_one_xcom(dag: DAG) -> None:
    assert not any(task.multiple_outputs for task in dag.tasks)


@pytest.mark.parametrize(("checked", "built"), [({"state": "success"}, True), (None, False)])
def test_the_report_knows_whether_the_month_was_built(
    dag: DAG, checked: dict[str, Any] | None, built: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def report(run: Run, month: Month, built: bool) -> pipeline.Receipt:
        seen.append(built)
        return pipeline.Receipt("report", "success")

    monkeypatch.setattr(pipeline, "report", report)
    task = dag.get_task("report")
    task.python_callable(**context_of(task, OutletEventAccessors(), checked=checked))
    assert seen == [built]


@pytest.mark.parametrize("error", ERRORS)
def test_only_transient_errors_are_tried_again(dag: DAG, error: type[Exception]) -> None:
    for task in dag.tasks:
        wanted = RetryAction.RETRY if issubclass(error, errors.TransientError) else RetryAction.FAIL
        assert task.retry_policy.evaluate(error("why"), try_number=1, max_tries=2).action is wanted


def test_a_bug_is_not_tried_again(dag: DAG) -> None:
    assert dag.get_task("check").retry_policy.evaluate(KeyError("rows"), 1, 2).action is RetryAction.FAIL


def test_an_attempt_that_hangs_fails_its_task(dag: DAG) -> None:
    for task in dag.tasks:
        assert task.execution_timeout == dt.timedelta(seconds=TASK_TIMEOUT_S)
        assert task.retry_policy.evaluate(AirflowTaskTimeout("2 h"), 1, 2).action is RetryAction.FAIL


def test_its_retries_are_those_of_every_orchestrator(dag: DAG) -> None:
    for task in dag.tasks:
        assert (task.retries, task.retry_delay) == (errors.RETRIES, dt.timedelta(seconds=errors.RETRY_DELAY_S))
        assert not task.retry_exponential_backoff


@pytest.mark.parametrize("name", TASKS)
def test_a_task_calls_its_step_and_returns_the_receipt(dag: DAG, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    def step(*arguments: Any, **_built: bool) -> pipeline.Receipt:
        calls.append(arguments)
        return pipeline.Receipt(name, "success", rows=3)

    monkeypatch.setattr(pipeline, name, step)
    task, events = dag.get_task(name), OutletEventAccessors()
    receipt = task.python_callable(**context_of(task, events))
    month = () if name == "ingest_zones" else (Month(2024, 1),)
    assert calls == [(Run("tlc", "s", loader="airflow", run_id="a-run"), *month)]
    assert receipt == {"task": name, "state": "success", "rows": 3}
    assert {event.name: (events[event].extra, events[event].partition_keys) for event in events} == {
        asset.name: ({"schema": "s", "state": "success"}, {"2024-01"}) for asset in task.outlets
    }


@pytest.mark.parametrize(
    ("key", "month"), [("2024-01", None), ("2024-01", ""), (None, "2024-01"), ("2024-01", "2024-01")]
)
def test_its_month_is_the_partition_key_or_else_the_param(
    module: ModuleType, key: str | None, month: str | None
) -> None:
    assert module.month_of(PARAMETERS | {"month": month}, run(partition_key=key)) == Month(2024, 1)


def test_a_backfill_with_a_month_of_its_own_does_not_load_it_again_and_again(module: ModuleType) -> None:
    with pytest.raises(errors.UsageError, match="the partition key 2024-02 and the month 2024-01: leave the month emp"):
        module.month_of(PARAMETERS | {"month": "2024-01"}, run(partition_key="2024-02"))


def test_a_run_without_a_month_says_what_to_do(dag: DAG) -> None:
    for task in dag.tasks:
        with pytest.raises(errors.UsageError, match="no month: trigger it with one, such as 2024-01"):
            task.python_callable(**context_of(task, OutletEventAccessors(), partition_key=None))


@pytest.mark.parametrize("error", [errors.SourceUnavailable("the site does not answer"), KeyError("rows")])
def test_a_task_raises_errors_of_ours_without_what_lies_below_it(
    dag: DAG, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task's log shows every frame and every cause that are left. Those of a bug are all wanted."""

    def step(*_: Any) -> pipeline.Receipt:
        raise error from OSError("a library's own words")

    monkeypatch.setattr(pipeline, "ingest_month", step)
    task = dag.get_task("ingest_month")
    with pytest.raises(type(error)) as raised:
        task.python_callable(**context_of(task, OutletEventAccessors()))
    shown = "".join(traceback.format_exception(raised.value))
    is_bug = isinstance(error, KeyError)
    assert (step.__name__ in [frame.name for frame in traceback.extract_tb(raised.tb)]) is is_bug
    assert ("a library's own words" in shown) is is_bug
    assert raised.value is error, "its class decides on a retry"


def test_a_run_of_no_month_is_refused(module: ModuleType) -> None:
    with pytest.raises(errors.UsageError, match="2024-13"):
        module.month_of({}, run(partition_key="2024-13"))


def test_a_run_with_an_unknown_parameter_is_refused(module: ModuleType) -> None:
    with pytest.raises(errors.UsageError, match="color"):
        module.run_of(PARAMETERS | {"color": "green"}, run())
