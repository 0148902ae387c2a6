"""A task in Airflow that returns a constant."""

from __future__ import annotations

from airflow.sdk import dag, task

from benchmarks.orchestrators.shapes import EDITED

VALUE = "as written"


@task
def step() -> str:
    """Return the constant."""
    return VALUE


@dag(dag_id=EDITED.name, schedule=None)
def edited() -> None:
    """Run the task."""
    step()


edited()
