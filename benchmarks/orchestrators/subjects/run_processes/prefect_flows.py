"""Chains in Prefect: a run is a process of the worker, and a task that is called runs in it."""

from __future__ import annotations

from prefect import Flow, flow, task

from benchmarks.orchestrators.fibonacci import fibonacci
from benchmarks.orchestrators.shapes import LIGHT, LONG, RUN_PROCESSES, SHORT, Chain


@task
def step(number: int) -> int:
    """Compute a Fibonacci number."""
    return fibonacci(number)


def run(chain: Chain) -> None:
    """Call the tasks of a chain, one after the other."""
    for name in chain.tasks:
        step.with_options(name=name)(chain.number)


# A worker finds a flow by its name in this module, so each is a function of its own.
@flow(name=LIGHT.pipeline(RUN_PROCESSES).name, persist_result=False)
def light() -> None:
    """Run the chain of short tasks."""
    run(LIGHT)


@flow(name=LONG.pipeline(RUN_PROCESSES).name, persist_result=False)
def long() -> None:
    """Run the chain of tasks that compute for a while."""
    run(LONG)


@flow(name=SHORT.pipeline(RUN_PROCESSES).name, persist_result=False)
def short() -> None:
    """Run the chain of three tasks."""
    run(SHORT)


flows: list[Flow[..., None]] = [light, long, short]
# In the queue of the months, for its limit: `benchmarks.orchestrators.curves` starts hundreds of runs at once.
deployments = [each.to_deployment("triptych", work_queue_name="months") for each in flows]
