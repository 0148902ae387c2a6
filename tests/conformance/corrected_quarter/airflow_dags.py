"""A roll-up in Airflow: a mapper names the quarter of a month's event, and its window the months that it waits for."""

from __future__ import annotations

from typing import Any

from airflow.sdk import (
    Asset,
    PartitionedAssetTimetable,
    PartitionedAtRuntime,
    QuarterWindow,
    RollupMapper,
    StartOfQuarterMapper,
    dag,
    task,
)

from tests.conformance.corrected_quarter import work

TRIPS = Asset("corrected_quarter_trips", uri="x-triptych://corrected_quarter/trips")

QUARTERS = RollupMapper(upstream_mapper=StartOfQuarterMapper(input_format="%Y-%m"), window=QuarterWindow())


@dag(schedule=PartitionedAtRuntime())
def corrected_quarter_load() -> None:
    """Load the month that is the run's partition key."""

    @task(outlets=[TRIPS], multiple_outputs=False)
    def quarter_trips(dag_run: Any) -> dict[str, str]:
        return work.load(dag_run.partition_key)

    quarter_trips()  # type: ignore[call-arg]


@dag(schedule=PartitionedAssetTimetable(assets=TRIPS, default_partition_mapper=QUARTERS))
def corrected_quarter_roll_up() -> None:
    """Sum the months of the quarter that is the run's partition key."""

    @task(multiple_outputs=False)
    def quarter_mart(dag_run: Any) -> dict[str, str]:
        return work.roll_up(dag_run.partition_key)

    quarter_mart()  # type: ignore[call-arg]


corrected_quarter_load()
corrected_quarter_roll_up()
