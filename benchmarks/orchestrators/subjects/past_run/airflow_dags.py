"""Empty tasks in Airflow: the scheduler records them as done, and starts no process."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import chain, dag

from benchmarks.orchestrators.shapes import PAST_RUN


@dag(dag_id=PAST_RUN.name, schedule=None)
def past_run() -> None:
    """Do nothing, in three tasks."""
    chain(*(EmptyOperator(task_id=name) for name in PAST_RUN.tasks))


past_run()
