"""A lost run in Airflow: the process above a task sends heartbeats, and the scheduler looks for missing ones."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param, dag, task

from tests.questions.limits.work import hold


@dag(schedule=None, params={"folder": Param(type="string"), "name": Param(type="string")})
def zombie_run() -> None:
    """Run a task that takes its time."""

    @task
    def work_on(params: dict[str, Any]) -> None:
        hold(**params)

    work_on()  # type: ignore[call-arg]


zombie_run()
