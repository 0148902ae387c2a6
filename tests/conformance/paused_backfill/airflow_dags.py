"""A backfill in Airflow, of a DAG that is paused."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import CronPartitionTimetable, dag, task

# The run of 1 May is April's.
MONTHLY = CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-1, key_format="%Y-%m")


@dag(
    schedule=MONTHLY,
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    is_paused_upon_creation=True,
)
def paused_backfill() -> None:
    """Load the month that is the run's partition key."""

    @task(multiple_outputs=False)
    def load_month(dag_run: Any) -> dict[str, Any]:
        return {"month": dag_run.partition_key}

    load_month()  # type: ignore[call-arg]


paused_backfill()
