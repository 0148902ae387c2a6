"""A data test in Airflow: the asset is an outlet of the test, so there is no event when it fails."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, PartitionedAssetTimetable, PartitionedAtRuntime, dag, task
from airflow.sdk.exceptions import AirflowFailException

from tests.conformance.failing_check.pipelines import BAD

STAGING = Asset("failing_check_staging", uri="x-triptych://failing_check/staging")


@dag(schedule=PartitionedAtRuntime())
def failing_check_load() -> None:
    """Load the month that is the run's partition key, and test it."""

    @task(multiple_outputs=False)
    def checked_staging(dag_run: Any) -> dict[str, Any]:
        return {"month": dag_run.partition_key}

    @task(outlets=[STAGING], multiple_outputs=False)
    def check_rows(loaded: dict[str, Any]) -> None:
        if loaded["month"] == BAD:
            raise AirflowFailException("a test failed")

    check_rows(checked_staging())  # type: ignore[call-arg, arg-type]


@dag(schedule=PartitionedAssetTimetable(assets=STAGING))
def failing_check_build() -> None:
    """Rebuild the mart of the month that was loaded."""

    @task(multiple_outputs=False)
    def checked_mart(dag_run: Any) -> dict[str, Any]:
        return {"month": dag_run.partition_key}

    checked_mart()  # type: ignore[call-arg]


failing_check_load()
failing_check_build()
