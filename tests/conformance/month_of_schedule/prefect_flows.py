"""A monthly schedule in Prefect: a run has a scheduled time, and the flow takes the month before it."""

from __future__ import annotations

import datetime as dt

from prefect import flow, runtime, task
from prefect.artifacts import create_table_artifact
from prefect.schedules import Cron


@task
def ended_month(month: str) -> None:
    """Load a month."""
    create_table_artifact([{"month": month}])


@flow(name="month_of_schedule")
def month_of_schedule() -> None:
    """Load the month that has ended."""
    tick = runtime.flow_run.scheduled_start_time
    ended_month(f"{tick.replace(day=1) - dt.timedelta(days=1):%Y-%m}")


deployments = [month_of_schedule.to_deployment("triptych", schedule=Cron("0 0 1 * *", timezone="UTC"))]
