"""An automatic retry in Airflow: a task says how often."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import CronPartitionTimetable, dag, task

from tests.conformance.retried_month import work

# The run of 1 May is April's.
MONTHLY = CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-1, key_format="%Y-%m")


@dag(schedule=MONTHLY, start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC), catchup=False)
def retried_month() -> None:
    """Load the month that is the run's partition key."""

    @task(retries=1, retry_delay=dt.timedelta(seconds=1), multiple_outputs=False)
    def load_once_more(dag_run: Any) -> dict[str, str]:
        return work.load(dag_run.partition_key)

    load_once_more()  # type: ignore[call-arg]


retried_month()
