"""A refresh in Airflow: an event with a partition key starts a run with that key, and one run at a time."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, PartitionedAssetTimetable, PartitionedAtRuntime, dag, task

from tests.conformance.load_during_refresh import work

TRIPS = Asset("load_during_refresh_trips", uri="x-triptych://load_during_refresh/trips")


@dag(schedule=PartitionedAtRuntime())
def load_during_refresh_load() -> None:
    """Load the month that is the run's partition key."""

    @task(outlets=[TRIPS], multiple_outputs=False)
    def moving_trips(dag_run: Any) -> dict[str, str]:
        return work.load(dag_run.partition_key)

    moving_trips()  # type: ignore[call-arg]


@dag(schedule=PartitionedAssetTimetable(assets=TRIPS), max_active_runs=1)
def load_during_refresh_mart() -> None:
    """Refresh the mart of the month that was loaded."""

    @task(multiple_outputs=False)
    def moving_mart(dag_run: Any) -> dict[str, str]:
        return work.refresh(dag_run.partition_key)

    moving_mart()  # type: ignore[call-arg]


load_during_refresh_load()
load_during_refresh_mart()
