"""A fan-out in Airflow: a task is mapped over a list, one instance at a time, and its results are collected."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from tests.conformance.canceled_fan_out import work


@dag(schedule=None, params={"folder": Param(type="string")})
def canceled_fan_out() -> None:
    """Load each month of a list, and count them."""

    @task
    def fan_months() -> list[str]:
        return work.MONTHS

    @task(max_active_tis_per_dagrun=1)
    def fan_load(month: str, params: dict[str, Any]) -> str:
        return work.load(params["folder"], month)

    @task
    def fan_count(months: list[str], params: dict[str, Any]) -> None:
        work.count(params["folder"], list(months))

    fan_count(fan_load.expand(month=fan_months()))  # type: ignore[call-arg, arg-type]


canceled_fan_out()
