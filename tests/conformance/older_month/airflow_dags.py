"""A refresh in Airflow: an event with a partition key starts a run with that key."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, PartitionedAssetTimetable, PartitionedAtRuntime, dag, task

TRIPS = Asset("older_month_trips", uri="x-triptych://older_month/trips")


@dag(schedule=PartitionedAtRuntime())
def older_month_load() -> None:
    """Load the month that is the run's partition key."""

    @task(outlets=[TRIPS], multiple_outputs=False)
    def older_trips(dag_run: Any) -> dict[str, Any]:
        return {"month": dag_run.partition_key}

    older_trips()  # type: ignore[call-arg]


@dag(schedule=PartitionedAssetTimetable(assets=TRIPS))
def older_month_refresh() -> None:
    """Refresh the mart of the month that was loaded."""

    @task(multiple_outputs=False)
    def older_mart(dag_run: Any) -> dict[str, Any]:
        return {"month": dag_run.partition_key}

    older_mart()  # type: ignore[call-arg]


older_month_load()
older_month_refresh()
