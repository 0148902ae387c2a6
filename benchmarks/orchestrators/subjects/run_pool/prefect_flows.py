"""Chains in Prefect: a run is a process of the worker, and sends its tasks to a pool of processes of its own."""

from __future__ import annotations

from typing import Any

from prefect import Flow, flow, task
from prefect.task_runners import ProcessPoolTaskRunner

from benchmarks.orchestrators.fibonacci import fibonacci
from benchmarks.orchestrators.shapes import LIGHT, LONG, RUN_POOL, SHORT, Chain

POOL: Any = ProcessPoolTaskRunner(max_workers=1)
"""The pool: it starts an interpreter with the first task, and keeps it until the run ends."""


@task
def step(number: int) -> int:
    """Compute a Fibonacci number."""
    return fibonacci(number)


def run(chain: Chain) -> None:
    """Submit the tasks of a chain, each once the one before it has ended."""
    for name in chain.tasks:
        step.with_options(name=name).submit(chain.number).result()


# A worker finds a flow by its name in this module, so each is a function of its own.
@flow(name=LIGHT.pipeline(RUN_POOL).name, persist_result=False, task_runner=POOL)
def light() -> None:
    """Run the chain of short tasks."""
    run(LIGHT)


@flow(name=LONG.pipeline(RUN_POOL).name, persist_result=False, task_runner=POOL)
def long() -> None:
    """Run the chain of tasks that compute for a while."""
    run(LONG)


@flow(name=SHORT.pipeline(RUN_POOL).name, persist_result=False, task_runner=POOL)
def short() -> None:
    """Run the chain of three tasks."""
    run(SHORT)


flows: list[Flow[..., None]] = [light, long, short]
deployments = [each.to_deployment("triptych") for each in flows]
