"""The DAG of a range: the tasks of a month, mapped over the months."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_impl.lab.services import DAGS
from core import pipeline
from core.errors import UsageError
from core.lab.protocol import TAXI_RANGE
from core.month import Month
from core.run import JOBS, Run

PARAMETERS = {"months": "2024-01..2024-03", "source": "tlc", "schema": "s"}
RUN: Any = SimpleNamespace(run_id="a-run", partition_key=None)


@pytest.fixture(scope="module")
def dag() -> DAG:
    return DagBag(str(DAGS)).dags[TAXI_RANGE.name]


def test_a_step_waits_for_its_own_month_and_for_the_zones(dag: DAG) -> None:
    assert {task.task_id: set(task.upstream_task_ids) for task in dag.tasks} == {
        "months": set(),
        "ingest_zones": set(),
        "ingest_month": {"months"},
        "transform": {"ingest_month", "ingest_zones", "months"},
        "check": {"transform", "months"},
    }
    groups = {task.task_id: task.get_closest_mapped_task_group() for task in dag.tasks}
    assert {name for name, group in groups.items() if group} == {"ingest_month", "transform", "check"}


def test_it_has_the_same_retries_and_at_most_as_many_months_at_a_time_as_a_backfill(dag: DAG) -> None:
    other = DagBag(str(DAGS)).dags["taxi_pipeline"].get_task("transform")
    for task in dag.tasks:
        assert (task.retries, task.retry_delay) == (other.retries, other.retry_delay)
        assert task.max_active_tis_per_dagrun == JOBS


def test_it_has_no_schedule_and_its_months_are_required(dag: DAG) -> None:
    assert dag.schedule is None
    assert set(dag.params) == set(TAXI_RANGE.parameters)


def test_the_months_are_those_of_the_param(dag: DAG) -> None:
    months = dag.get_task("months").python_callable
    assert months(params=PARAMETERS) == ["2024-01", "2024-02", "2024-03"]
    with pytest.raises(UsageError, match="is not a range of months"):
        months(params=PARAMETERS | {"months": "2024-01.."})


@pytest.mark.parametrize("name", ["ingest_month", "transform", "check"])
def test_a_mapped_task_calls_the_step_of_its_month(dag: DAG, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    def step(*arguments: Any) -> pipeline.Receipt:
        calls.append(arguments)
        return pipeline.Receipt(name, "success")

    monkeypatch.setattr(pipeline, name, step)
    events = OutletEventAccessors()
    also = {} if name == "check" else {"outlet_events": events}
    task = dag.get_task(name)
    task.python_callable(month="2024-02", params=PARAMETERS, dag_run=RUN, **also)
    assert calls == [(Run("tlc", "s", loader="airflow", run_id="a-run"), Month(2024, 2))]
    assert all(events[event].partition_keys == {"2024-02"} for event in events)
    assert sys.modules[task.python_callable.__module__].LABEL == "{{ task.op_kwargs['month'] }}"
