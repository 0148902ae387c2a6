"""Tasks side by side in Prefect: a mapped task, on as many threads as the range of months has."""

from __future__ import annotations

from prefect import flow, task

from benchmarks.orchestrators.fibonacci import fibonacci
from benchmarks.orchestrators.shapes import QUICK, RUN_PROCESSES, wide
from prefect_impl.range_flow import THREADS


@task
def step(number: int) -> None:
    """Compute a Fibonacci number."""
    fibonacci(QUICK)


@flow(name=wide(RUN_PROCESSES).name, persist_result=False, task_runner=THREADS)
def pipeline(tasks: int = 1) -> None:
    """Run as many tasks as the run is told."""
    step.map(range(tasks)).result()


deployments = [pipeline.to_deployment("triptych")]
