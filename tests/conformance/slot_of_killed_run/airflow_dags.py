"""A limit in Airflow: a pool has slots, and the scheduler starts no task that finds none free."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from tests.conformance.slot_of_killed_run.pipelines import SLOT
from tests.questions.limits.work import hold


@dag(schedule=None, params={"folder": Param(type="string"), "name": Param(type="string")})
def slot_of_killed_run() -> None:
    """Run a task that takes one slot of a pool."""

    @task(pool=SLOT)
    def hold_slot(params: dict[str, Any]) -> None:
        hold(**params)

    hold_slot()  # type: ignore[call-arg]


slot_of_killed_run()
