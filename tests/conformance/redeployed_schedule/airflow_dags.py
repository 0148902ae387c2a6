"""A schedule in Airflow: it is deployed with the file of the DAG."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import DeltaTriggerTimetable, dag, task

from tests.conformance.redeployed_schedule import work


@dag(
    schedule=DeltaTriggerTimetable(dt.timedelta(seconds=15)),
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    is_paused_upon_creation=True,
)
def redeployed_schedule() -> None:
    """Load a tick."""

    @task
    def load_tick(logical_date: Any) -> None:
        work.load(logical_date)

    load_tick()  # type: ignore[call-arg]


redeployed_schedule()
