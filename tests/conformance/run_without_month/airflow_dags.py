"""A monthly DAG in Airflow: the run's partition key is the month, and an event with that key starts the consumer."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import Asset, CronPartitionTimetable, PartitionedAssetTimetable, dag, task

TRIPS = Asset("run_without_month_trips", uri="x-triptych://run_without_month/trips")

# The run of 1 May is April's.
MONTHLY = CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-1, key_format="%Y-%m")


@dag(schedule=MONTHLY, start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC), catchup=False)
def run_without_month_load() -> None:
    """Load the month that is the run's partition key."""

    @task(outlets=[TRIPS], multiple_outputs=False)
    def monthly_trips(dag_run: Any) -> dict[str, Any]:
        return {"month": dag_run.partition_key}

    monthly_trips()  # type: ignore[call-arg]


@dag(schedule=PartitionedAssetTimetable(assets=TRIPS))
def run_without_month_build() -> None:
    """Build the mart of the month that was loaded."""

    @task(multiple_outputs=False)
    def monthly_mart(dag_run: Any) -> dict[str, Any]:
        return {"month": dag_run.partition_key}

    monthly_mart()  # type: ignore[call-arg]


run_without_month_load()
run_without_month_build()
