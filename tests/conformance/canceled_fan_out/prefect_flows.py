"""A fan-out in Prefect: a task is mapped over a list, one run of it at a time, and its results are collected."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.task_runners import ThreadPoolTaskRunner

from tests.conformance.canceled_fan_out import work


@task(cache_policy=NO_CACHE)
def fan_months() -> list[str]:
    """Return the months."""
    return work.MONTHS


@task(cache_policy=NO_CACHE)
def fan_load(folder: str, month: str) -> str:
    """Load a month."""
    return work.load(folder, month)


@task(cache_policy=NO_CACHE)
def fan_count(folder: str, months: list[str]) -> None:
    """Count the months."""
    work.count(folder, months)


ONE: Any = ThreadPoolTaskRunner(max_workers=1)


@flow(name="canceled_fan_out", task_runner=ONE)
def canceled_fan_out(folder: str) -> None:
    """Load each month of a list, and count them."""
    fan_count(folder, fan_load.map(folder, fan_months()).result())


deployments = [canceled_fan_out.to_deployment("triptych")]
