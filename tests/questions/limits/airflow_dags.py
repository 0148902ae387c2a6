"""Limits in Airflow: a pool has slots, and the scheduler starts no task that finds none free."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from tests.questions.limits.pipelines import POOL
from tests.questions.limits.work import hold


@dag(schedule=None, params={"folder": Param(type="string"), "name": Param(type="string")})
def limited() -> None:
    """Run a task that takes one slot of a pool."""

    @task
    def begin() -> None:
        pass

    @task(pool=POOL)
    def transform(params: dict[str, Any]) -> None:
        hold(**params)

    @task
    def report() -> None:
        pass

    begin() >> transform() >> report()  # type: ignore[call-arg, misc]


limited()
