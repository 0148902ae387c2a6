"""An automatic retry in Prefect: a flow says how often, and another flow runs it for each month."""

from __future__ import annotations

import asyncio
from typing import Any

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.deployments import arun_deployment
from prefect.states import Completed, Failed

from tests.conformance.retried_month import work


@task(cache_policy=NO_CACHE)
def load_once_more(month: str) -> None:
    """Load a month."""
    work.load(month)


@flow(name="retried_month", retries=1, retry_delay_seconds=1)
def retried_month(month: str) -> None:
    """Load a month."""
    load_once_more(month)


@flow(name="retried_month_backfill")
async def retried_month_backfill(
    months: list[str], parameters: dict[str, Any], which: str, concurrency: int
) -> State[None]:
    """Run `retried_month` for each month: Prefect has no backfill of its own."""
    given = [{"month": month, **parameters} for month in months]
    runs = await asyncio.gather(*(arun_deployment("retried_month/triptych", parameters=each) for each in given))
    good = all(run.state and run.state.is_completed() for run in runs)
    return Completed() if good else Failed(message="a month has failed")


deployments = [retried_month.to_deployment("triptych"), retried_month_backfill.to_deployment("triptych")]
