"""The question's flows. A deployment with a schedule is paused until the lab resumes it."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from prefect import State, flow, get_client, runtime, task
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import get_run_context
from prefect.deployments import arun_deployment
from prefect.exceptions import Abort
from prefect.schedules import Cron, Interval
from prefect.states import AwaitingRetry, Completed, Failed

from core.errors import TriptychError
from prefect_impl.selection import ENDED, Which, select
from tests.questions.dates import work


def this_run() -> FlowRun:
    """Return the run that executes this code."""
    return get_run_context().flow_run  # type: ignore[union-attr, return-value]


def tick_of(run: FlowRun) -> dt.datetime:
    """Return the instant that a run is for, in UTC, as Prefect's instants are."""
    assert run.expected_start_time
    return dt.datetime.fromtimestamp(run.expected_start_time.timestamp(), dt.UTC)


@task
def month_key(month: str | None) -> None:
    """Do a month's work."""
    create_table_artifact([{"month": work.checked(month)}])


# Every run has a scheduled time, one that is started by hand too: only a schedule's own run takes its month from it.
@flow
def monthly(month: str | None = None) -> State[None]:
    """Do a month's work: the month is a parameter, or the month before a scheduled run's tick."""
    run = this_run()
    if month is None and run.auto_scheduled:
        month = work.month_before(tick_of(run))
    try:
        month_key(month)
    except TriptychError as error:
        return Failed(message=str(error))
    return Completed()


@flow(name="monthly_backfill")
async def monthly_backfill(
    months: list[str], parameters: dict[str, Any], which: Which = "missing", concurrency: int = 2
) -> State[None]:
    """Run `monthly` for those of the months that are wanted: Prefect has no backfill of its own."""
    past: dict[str, list[Any]] = {}
    async with get_client() as client:
        runs = await client.read_flow_runs(
            flow_filter=FlowFilter.model_validate({"name": {"any_": ["monthly"]}}),
            flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ENDED}}}),
            sort=FlowRunSort.START_TIME_DESC,
        )
    for run in runs:
        past.setdefault(run.parameters.get("month") or work.month_before(tick_of(run)), []).append(run.state_type)
    slots = asyncio.Semaphore(concurrency)

    async def one(month: str) -> FlowRun:
        async with slots:
            values = {"month": month, **parameters}
            return await arun_deployment("monthly/triptych", parameters=values, poll_interval=1)

    ends = await asyncio.gather(*map(one, select(months, which, past)))
    failed = [run.parameters["month"] for run in ends if not (run.state and run.state.is_completed())]
    return Failed(message=f"failed: {', '.join(failed)}") if failed else Completed()


@task
def interval_month(tick: dt.datetime) -> None:
    """Report the date that the run is for, and the month before it."""
    create_table_artifact([{"date": f"{tick:%Y-%m}", "month": work.month_before(tick)}])


@flow(name="by_interval")
def by_interval() -> None:
    """Do a month's work: the month before the run's scheduled time, whoever set that."""
    interval_month(tick_of(this_run()))


@task
def tick(at: dt.datetime) -> None:
    """Report the instant that the run is for."""
    create_table_artifact([{"at": at.isoformat()}])


@flow
def clock() -> None:
    """Run every five seconds."""
    tick(tick_of(this_run()))


@flow
def spring() -> None:
    """Run at 02:30 in New York, which 8 March 2026 does not have."""
    tick(tick_of(this_run()))


@flow
def autumn() -> None:
    """Run at 01:30 in New York, which 1 November 2026 has twice."""
    tick(tick_of(this_run()))


@task
def tokyo_month(tick: dt.datetime) -> None:
    """Report the month that has ended in Tokyo, and the one that the scheduled time as it comes, in UTC, would name."""
    ended = tick.astimezone(ZoneInfo("Asia/Tokyo"))
    found = {"month": work.month_before(ended), "by the date as it comes": work.month_before(tick)}
    create_table_artifact([found])


@flow
def tokyo() -> None:
    """Run when a month ends in Tokyo, which is 15:00 UTC on its last day."""
    tokyo_month(tick_of(this_run()))


@task
def fetch_published(url: str, month: str) -> bool:
    """Return whether the month's file is there."""
    found = work.is_published(url, month)
    create_table_artifact([{"month": month, "published": found}])
    return found


@flow(name="not_yet")
def not_yet(month: str, url: str) -> State[None]:
    """Ask for the month's file; while there is none, go back to the queue for five seconds, and hold no process."""
    if fetch_published(url, month):
        return Completed()
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=5)
    state: State[None] = AwaitingRetry(scheduled_time=later, message=f"{month} is not published yet")
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(str(runtime.flow_run.id)), state, force=True)
    # Returned, the state would be the result that the engine asks for at the end: it has none, the process exits with
    # an error, and the worker reports a crash.
    raise Abort("back in the queue")


@task
def load_latest(tick: dt.datetime) -> None:
    """Load the three months before the tick, those that are late or were published again among them."""
    create_table_artifact([work.load(work.months_before(tick, 3), "prefect")])


@flow
def latest() -> None:
    """Load the newest months, on the first of each month."""
    load_latest(tick_of(this_run()))


MONTHLY = "0 0 1 * *"
NEW_YORK = "America/New_York"

deployments = [
    monthly.to_deployment("triptych", schedule=Cron(MONTHLY, timezone="UTC"), paused=True),
    monthly_backfill.to_deployment("triptych"),
    by_interval.to_deployment("triptych", schedule=Cron(MONTHLY, timezone="UTC"), paused=True),
    clock.to_deployment("triptych", schedule=Interval(5), paused=True),
    spring.to_deployment("triptych", schedule=Cron("30 2 * * *", timezone=NEW_YORK), paused=True),
    autumn.to_deployment("triptych", schedule=Cron("30 1 * * *", timezone=NEW_YORK), paused=True),
    tokyo.to_deployment("triptych", schedule=Cron(MONTHLY, timezone="Asia/Tokyo"), paused=True),
    not_yet.to_deployment("triptych"),
    latest.to_deployment("triptych", schedule=Cron(MONTHLY, timezone="UTC"), paused=True),
]
