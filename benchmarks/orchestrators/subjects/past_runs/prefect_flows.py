"""A run in Prefect that records many runs of another flow through the API, each with its tasks.

To call the flow as often would take a second each, which is minutes before anything is measured.
"""

from __future__ import annotations

import asyncio

from prefect import flow, get_client, task
from prefect.client.orchestration import PrefectClient
from prefect.states import Completed

from benchmarks.orchestrators.fibonacci import fibonacci
from benchmarks.orchestrators.shapes import PAST_RUN, PAST_RUNS, QUICK

AT_ONCE = 4
"""How many runs are recorded at a time."""


@task
def step() -> None:
    """Compute a Fibonacci number."""
    fibonacci(QUICK)


@flow(name=PAST_RUN.name, persist_result=False)
def past_run() -> None:
    """Run the step three times."""
    for name in PAST_RUN.tasks:
        step.with_options(name=name)()


async def record(client: PrefectClient, slots: asyncio.Semaphore) -> None:
    """Record a run of `past_run` that has ended well."""
    async with slots:
        run = await client.create_flow_run(past_run, state=Completed())
        for name in PAST_RUN.tasks:
            await client.create_task_run(step, run.id, dynamic_key=name, name=name, state=Completed())


@flow(name=PAST_RUNS.name, persist_result=False)
async def past_runs(runs: int = 1) -> None:
    """Record as many runs as this one is told."""
    slots = asyncio.Semaphore(AT_ONCE)
    async with get_client() as client:
        await asyncio.gather(*(record(client, slots) for _ in range(runs)))


deployments = [past_runs.to_deployment("triptych")]
