"""A month without rows in Airflow: what a load returns is false in Python, and nothing branches on it."""

from __future__ import annotations

from typing import Any

from airflow.sdk import dag, task

from tests.conformance.empty_month import steps


@dag(schedule=None, params={"source": "", "tables": "", "month": "", "accept": False})
def empty_month() -> None:
    """Load a month, and build its models."""

    @task(multiple_outputs=False)
    def load(params: dict[str, Any]) -> dict[str, Any]:
        return steps.load(params["source"], params["tables"], params["month"], params["accept"])

    @task
    def build(params: dict[str, Any]) -> None:
        steps.build(params["source"], params["tables"], params["month"])

    load() >> build()  # type: ignore[call-arg]


empty_month()
