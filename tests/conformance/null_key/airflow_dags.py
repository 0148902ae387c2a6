"""A load and its model in Airflow: a task publishes the month, and another one runs dbt."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from tests.conformance.null_key import work


@dag(schedule=None, params={"schema": Param(type="string"), "version": Param(type="string")})
def null_key() -> None:
    """Publish a version of the month, and build the model."""

    @task
    def published(params: dict[str, Any]) -> None:
        work.publish(**params)

    @task
    def built(params: dict[str, Any]) -> None:
        work.build(params["schema"])

    published() >> built()  # type: ignore[call-arg, misc]


null_key()
