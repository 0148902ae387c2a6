"""Event-driven chaining in Airflow: an event with a partition key starts a run with that key."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import (
    Asset,
    FixedKeyMapper,
    PartitionedAssetTimetable,
    PartitionedAtRuntime,
    RollupMapper,
    SegmentWindow,
    dag,
    task,
)

from tests.questions.events.pipelines import BATCH

RAW_TRIPS = Asset("events_raw_trips", uri="x-triptych://events/raw_trips")

# A killed scheduler takes its workers with it.
AGAIN = {"retries": 1, "retry_delay": dt.timedelta(seconds=1)}


@dag(schedule=PartitionedAtRuntime(), params={"source": "sample", "force": False, "fail": ""}, default_args=AGAIN)
def ingest_taxi_data() -> None:
    """Load the month that is the run's partition key."""

    @task(outlets=[RAW_TRIPS], multiple_outputs=False)
    def ingested_trips(dag_run: Any, params: Any) -> dict[str, Any]:
        """Load the month; when this succeeds, Airflow records an event of the asset, with the run's key."""
        from tests.questions.events import work

        return work.load("airflow", dag_run.run_id, dag_run.partition_key, **params)

    ingested_trips()  # type: ignore[call-arg]


@dag(schedule=PartitionedAssetTimetable(assets=RAW_TRIPS), default_args=AGAIN)
def refresh_fct_trips() -> None:
    """Build each month as soon as it is there: the run has the partition key of the event."""

    @task(multiple_outputs=False)
    def refreshed_trips(dag_run: Any) -> dict[str, Any]:
        """Bring the models up to date."""
        from tests.questions.events import work

        return work.build("airflow", dag_run.run_id, dag_run.partition_key)

    refreshed_trips()  # type: ignore[call-arg]


ALL_OF_THEM = RollupMapper(upstream_mapper=FixedKeyMapper("batch"), window=SegmentWindow(BATCH))


@dag(schedule=PartitionedAssetTimetable(assets=RAW_TRIPS, default_partition_mapper=ALL_OF_THEM), default_args=AGAIN)
def refresh_batch() -> None:
    """Build once, when each of the seven months has had an event."""

    @task(multiple_outputs=False)
    def refreshed_batch(dag_run: Any) -> dict[str, Any]:
        """Bring the models up to date."""
        from tests.questions.events import work

        return work.build("airflow", dag_run.run_id)

    refreshed_batch()  # type: ignore[call-arg]


ingest_taxi_data()
refresh_fct_trips()
refresh_batch()
