"""Tasks side by side in Airflow: one mapped task, whose instances are processes."""

from __future__ import annotations

from airflow.sdk import dag, get_current_context, task

from benchmarks.orchestrators.fibonacci import fibonacci
from benchmarks.orchestrators.shapes import QUICK, TASK_PROCESSES, wide


@dag(dag_id=wide(TASK_PROCESSES).name, schedule=None, params={"tasks": 1})
def pipeline() -> None:
    """Run as many tasks as the run is told."""

    @task
    def numbers() -> list[int]:
        return list(range(get_current_context()["params"]["tasks"]))

    # Without a return value, so that there is no XCom for each.
    @task
    def step(number: int) -> None:
        fibonacci(QUICK)

    step.expand(number=numbers())


pipeline()
