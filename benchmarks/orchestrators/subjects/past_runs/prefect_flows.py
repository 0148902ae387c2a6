"""A run in Prefect that calls a flow many times in its own process, each time as a run."""

from __future__ import annotations

from prefect import flow, task

from benchmarks.orchestrators.fibonacci import fibonacci
from benchmarks.orchestrators.shapes import PAST_RUN, PAST_RUNS, QUICK


@task
def step() -> None:
    """Compute a Fibonacci number."""
    fibonacci(QUICK)


@flow(name=PAST_RUN.name, persist_result=False)
def past_run() -> None:
    """Run the step three times."""
    for name in PAST_RUN.tasks:
        step.with_options(name=name)()


@flow(name=PAST_RUNS.name, persist_result=False)
def past_runs(runs: int = 1) -> None:
    """Make as many runs as this one is told."""
    for _ in range(runs):
        past_run()


deployments = [past_runs.to_deployment("triptych")]
