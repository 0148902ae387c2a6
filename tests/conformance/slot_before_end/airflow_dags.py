"""A limit in Airflow: a pool has slots, and the scheduler starts no task that finds none free."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from tests.conformance.slot_before_end.pipelines import SLOT
from tests.conformance.slot_before_end.work import work


@dag(schedule=None, params={"folder": Param(type="string"), "name": Param(type="string")})
def slot_before_end() -> None:
    """Run a task that takes one slot of a pool."""

    @task(pool=SLOT)
    def work_in_slot(params: dict[str, Any]) -> None:
        work(**params)

    work_in_slot()  # type: ignore[call-arg]


slot_before_end()
