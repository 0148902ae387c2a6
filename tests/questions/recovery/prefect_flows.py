"""Recovery in Prefect: a task is retried in its run's process, and a run that is run again skips what it has kept."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import State, Task, flow, get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import arun_deployment
from prefect.states import Completed, Failed
from prefect.tasks import exponential_backoff

from core.errors import TransientError
from prefect_impl.selection import ENDED, Which, select
from tests.questions.recovery import work

VERSION = work.version()


def is_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether another attempt may succeed. Without a condition, Prefect retries whatever was raised."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


AGAIN: dict[str, Any] = {
    "retries": 3,
    # Waits of 1, 2 and 4 s.
    "retry_delay_seconds": exponential_backoff(1),
    "retry_condition_fn": is_transient,
}


@task(**AGAIN, persist_result=True)
def fetch(month: str) -> str:
    """Return the path of the month's file. It is kept under the run's id: the same run, run again, finds it."""
    return work.fetch(month, VERSION)


@task(**AGAIN, cache_policy=NO_CACHE)
def load(month: str, file: str) -> int:
    """Load the month. A result that is kept would say that it is there, whatever became of its table since."""
    return work.load(month, file, "prefect", VERSION)


@task(**AGAIN, cache_policy=NO_CACHE)
def report(month: str, rows: int) -> None:
    """Report on the month."""
    work.report(month, rows, VERSION)


@flow(name="recover")
def recover(month: str) -> None:
    """Load one month."""
    report(month, load(month, fetch(month)))


@flow(name="recover_backfill")
async def recover_backfill(
    months: list[str], parameters: dict[str, Any], which: Which = "missing", concurrency: int = 2
) -> State[None]:
    """Run `recover` for those of the months that are wanted: Prefect has no backfill of its own."""
    past: dict[str, list[Any]] = {}
    async with get_client() as client:
        for run in await client.read_flow_runs(
            flow_filter=FlowFilter.model_validate({"name": {"any_": ["recover"]}}),
            flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ENDED}}}),
            sort=FlowRunSort.START_TIME_DESC,
        ):
            past.setdefault(run.parameters["month"], []).append(run.state_type)
    slots = asyncio.Semaphore(concurrency)

    async def one(month: str) -> FlowRun:
        async with slots:
            return await arun_deployment("recover/triptych", parameters={"month": month, **parameters}, poll_interval=1)

    ends = await asyncio.gather(*map(one, select(months, which, past)))
    failed = [run.parameters["month"] for run in ends if not (run.state and run.state.is_completed())]
    return Failed(message=f"failed: {', '.join(failed)}") if failed else Completed()


@task(timeout_seconds=work.TIMEOUT_S, cache_policy=NO_CACHE)
def write(month: str) -> int:
    """Write one month. In a thread of `submit`, the time-out would have to wait until this returns."""
    return work.write(month, "prefect")


@flow(name="timed")
def timed(month: str) -> None:
    """Write one month, within a time."""
    write(month)


deployments = [
    recover.to_deployment("triptych"),
    recover_backfill.to_deployment("triptych"),
    timed.to_deployment("triptych"),
]
