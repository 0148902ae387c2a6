"""A run that starts another one in Airflow: an operator asks for a run of the other DAG."""

from __future__ import annotations

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import dag, task

from tests.conformance.lost_answer.pipelines import CHILD


@dag(schedule=None)
def lost_answer() -> None:
    """Start a run of the other DAG."""
    TriggerDagRunOperator(task_id="start_child", trigger_dag_id=CHILD)


@dag(schedule=None)
def lost_answer_child() -> None:
    """Do nothing."""

    @task
    def work() -> None: ...

    work()


lost_answer()
lost_answer_child()
