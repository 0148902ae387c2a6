"""The question's DAGs. Those with a schedule are created paused: the lab starts their schedules when it asks."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from airflow.sdk import (
    CronDataIntervalTimetable,
    CronPartitionTimetable,
    CronTriggerTimetable,
    DeltaTriggerTimetable,
    Param,
    PartitionedAtRuntime,
    PokeReturnValue,
    dag,
    task,
)

from tests.questions.dates import work

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol as DagRun

NEW_YORK, TOKYO = ZoneInfo("America/New_York"), ZoneInfo("Asia/Tokyo")


# The run of 1 May is April's: without the offset it would be May's, which has only begun.
@dag(
    schedule=CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-1, key_format="%Y-%m"),
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    is_paused_upon_creation=True,
)
def monthly() -> None:
    """Do a month's work: the month is the run's partition key, whoever started the run."""

    @task
    def month_key(dag_run: DagRun) -> dict[str, str]:
        return {"month": work.checked(dag_run.partition_key)}

    month_key()  # type: ignore[call-arg]


# What Airflow did before it had partitions: the month is the data interval's. The date that a run is for, and the
# interval, are not of the same month in a run that is started by hand.
@dag(
    schedule=CronDataIntervalTimetable("0 0 1 * *", timezone="UTC"),
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    # A date in the past: turning the schedule on starts nothing.
    end_date=dt.datetime(2024, 12, 31, tzinfo=dt.UTC),
    catchup=False,
    is_paused_upon_creation=True,
)
def by_interval() -> None:
    """Do a month's work: the month in which the data interval begins."""

    @task
    def interval_month(dag_run: DagRun) -> dict[str, str]:
        return {"date": f"{dag_run.logical_date:%Y-%m}", "month": f"{dag_run.data_interval_start:%Y-%m}"}

    interval_month()  # type: ignore[call-arg]


@task
def tick(dag_run: DagRun) -> dict[str, str]:
    """Return the instant that the run is for."""
    return {"at": dag_run.run_after.isoformat()}


@dag(
    schedule=DeltaTriggerTimetable(dt.timedelta(seconds=10)),
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    is_paused_upon_creation=True,
    max_active_runs=1,
)
def clock() -> None:
    """Run every ten seconds."""
    tick()  # type: ignore[call-arg]


# With catch-up, turning the schedule on starts a run for each date since `start_date`.
@dag(
    schedule=CronTriggerTimetable("30 2 * * *", timezone="America/New_York"),
    start_date=dt.datetime(2026, 3, 7, tzinfo=NEW_YORK),
    end_date=dt.datetime(2026, 3, 10, tzinfo=NEW_YORK),
    catchup=True,
    is_paused_upon_creation=True,
)
def spring() -> None:
    """Run at 02:30 in New York on the days around 8 March 2026, when there is no 02:30."""
    tick()  # type: ignore[call-arg]


@dag(
    schedule=CronTriggerTimetable("30 1 * * *", timezone="America/New_York"),
    start_date=dt.datetime(2026, 10, 31, tzinfo=NEW_YORK),
    end_date=dt.datetime(2026, 11, 3, tzinfo=NEW_YORK),
    catchup=True,
    is_paused_upon_creation=True,
)
def autumn() -> None:
    """Run at 01:30 in New York on the days around 1 November 2026, when there are two of them."""
    tick()  # type: ignore[call-arg]


@dag(
    schedule=CronPartitionTimetable("0 0 1 * *", timezone="Asia/Tokyo", run_offset=-1, key_format="%Y-%m"),
    start_date=dt.datetime(2024, 3, 1, tzinfo=TOKYO),
    end_date=dt.datetime(2024, 3, 2, tzinfo=TOKYO),
    catchup=True,
    is_paused_upon_creation=True,
)
def tokyo() -> None:
    """Run when a month ends in Tokyo, which is 15:00 UTC on its last day."""

    @task
    def tokyo_month(dag_run: DagRun) -> dict[str, str]:
        # Airflow's instants are in UTC, where February has not ended.
        return {"month": str(dag_run.partition_key), "by the date as it comes": work.month_before(dag_run.run_after)}

    tokyo_month()  # type: ignore[call-arg]


@dag(schedule=PartitionedAtRuntime(), params={"url": Param("", type="string")})
def not_yet() -> None:
    """Wait for the month's file. The sensor gives its slot back between two looks."""

    @task.sensor(poke_interval=5, mode="reschedule", timeout=60 * 24 * 3600)
    def fetch_published(params: dict[str, Any], dag_run: DagRun) -> PokeReturnValue:
        month = work.checked(dag_run.partition_key)
        return PokeReturnValue(work.is_published(params["url"], month), {"month": month})

    fetch_published()  # type: ignore[call-arg]


@dag(
    schedule=CronTriggerTimetable("0 0 1 * *", timezone="UTC"),
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    end_date=dt.datetime(2024, 12, 31, tzinfo=dt.UTC),
    catchup=False,
    is_paused_upon_creation=True,
    max_active_runs=1,
)
def latest() -> None:
    """Load the three months before the run's date, those that are late or were published again among them."""

    @task
    def load_latest(dag_run: DagRun) -> dict[str, str]:
        return work.load(work.months_before(dag_run.run_after, 3), "airflow")

    load_latest()  # type: ignore[call-arg]


for each in (monthly, by_interval, clock, spring, autumn, tokyo, not_yet, latest):
    each()
