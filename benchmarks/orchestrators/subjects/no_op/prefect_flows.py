"""The month whose steps do nothing, and the parent that runs many of them, as in `prefect_impl.flows`."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import State, flow, runtime, task
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import arun_deployment
from prefect.states import Completed, Failed

from core.run import JOBS
from prefect_impl.flows import POLL_S
from prefect_impl.selection import Which


@task
def ingest_zones() -> None:
    """Do nothing."""


@task
def ingest_month() -> None:
    """Do nothing."""


@task
def pending() -> bool:
    """Return that the month has to be built."""
    return True


@task
def transform() -> None:
    """Do nothing."""


@task
def check() -> None:
    """Do nothing."""


@task
def report() -> None:
    """Do nothing."""


@flow(name="no_op", persist_result=False)
def no_op(month: str) -> None:
    """Do nothing for a month, in six tasks."""
    ingest_month()
    ingest_zones()
    if pending():
        transform()
        check()
    report()


@flow(name="no_op_backfill", persist_result=False)
async def no_op_backfill(
    months: list[str], parameters: dict[str, Any], which: Which = "all", concurrency: int = JOBS
) -> State[None]:
    """Run `no_op` for each of many months."""
    slots = asyncio.Semaphore(concurrency)

    async def one(month: str) -> FlowRun:
        async with slots:
            return await arun_deployment(
                "no_op/triptych",
                parameters={"month": month},
                idempotency_key=f"{runtime.flow_run.id}:{month}",
                poll_interval=POLL_S,
            )

    ends = await asyncio.gather(*map(one, months))
    failed = [run.parameters["month"] for run in ends if not (run.state and run.state.is_completed())]
    return Failed(message=f"failed: {', '.join(failed)}") if failed else Completed()


deployments = [no_op.to_deployment("triptych"), no_op_backfill.to_deployment("triptych")]
