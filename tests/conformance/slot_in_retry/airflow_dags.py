"""A limit and a retry in Airflow: a task takes a slot of a pool, and says after how long it is tried again."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import Param, dag, task

from tests.conformance.slot_in_retry.pipelines import SLOT
from tests.conformance.slot_in_retry.work import attempt


@dag(schedule=None, params={"folder": Param(type="string"), "name": Param(type="string")})
def slot_in_retry() -> None:
    """Run a task that takes one slot of a pool, and is tried twice."""

    @task(pool=SLOT, retries=1, retry_delay=dt.timedelta(seconds=30))
    def take_slot(params: dict[str, Any]) -> None:
        attempt(**params)

    take_slot()  # type: ignore[call-arg]


slot_in_retry()
