"""Chains in Airflow: a task is always a process, which a worker of the executor forks."""

from __future__ import annotations

from airflow.sdk import chain, dag, task

from benchmarks.orchestrators.fibonacci import fibonacci
from benchmarks.orchestrators.shapes import CHAINS, TASK_PROCESSES, Chain


@task
def step(number: int) -> int:
    """Compute a Fibonacci number."""
    return fibonacci(number)


def make(shape: Chain) -> None:
    """Declare the DAG of a chain."""

    @dag(dag_id=shape.pipeline(TASK_PROCESSES).name, schedule=None)
    def pipeline() -> None:
        chain(*(step.override(task_id=name)(shape.number) for name in shape.tasks))

    pipeline()


for each in CHAINS:
    make(each)
