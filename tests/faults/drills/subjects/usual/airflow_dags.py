"""The usual pattern as a DAG of two tasks, with the retries that the taxi pipeline has."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from airflow.sdk import CronPartitionTimetable, Param, dag, task

from core.errors import RETRIES, RETRY_DELAY_S
from tests.faults.drills.subjects.usual import work

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol as DagRun

FIRST = dt.datetime(2009, 1, 1, tzinfo=dt.UTC)


@dag(
    schedule=CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-1, key_format="%Y-%m"),
    start_date=FIRST,
    # No scheduled run: a backfill ignores this date.
    end_date=FIRST,
    catchup=False,
    default_args={"retries": RETRIES, "retry_delay": dt.timedelta(seconds=RETRY_DELAY_S)},
    params={"source": Param("", type="string"), "schema": Param("", type="string")},
)
def usual_month() -> None:
    """Delete the month's rows, then append its file."""

    @task
    def delete(params: dict[str, Any], dag_run: DagRun) -> None:
        work.delete(params["schema"], str(dag_run.partition_key))

    @task
    def append(params: dict[str, Any], dag_run: DagRun) -> None:
        work.append(params["source"], params["schema"], str(dag_run.partition_key))

    delete() >> append()  # type: ignore[call-arg, misc]


usual_month()
