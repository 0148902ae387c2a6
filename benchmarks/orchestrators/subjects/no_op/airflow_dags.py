"""The month whose steps do nothing, as a DAG of the shape of `taxi_pipeline`."""

from __future__ import annotations

import datetime as dt

from airflow.sdk import CronPartitionTimetable, dag, task

FIRST = dt.datetime(2009, 1, 1, tzinfo=dt.UTC)


@dag(
    schedule=CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-1, key_format="%Y-%m"),
    start_date=FIRST,
    # No scheduled run: a backfill ignores this date.
    end_date=FIRST,
    catchup=False,
)
def no_op() -> None:
    """Do nothing, in six tasks."""

    @task
    def ingest_zones() -> None:
        pass

    @task
    def ingest_month() -> None:
        pass

    @task.branch
    def pending() -> str:
        return "transform"

    @task
    def transform() -> None:
        pass

    @task
    def check() -> None:
        pass

    @task(trigger_rule="none_failed_min_one_success")
    def report() -> None:
        pass

    branch, checked, last = pending(), check(), report()
    [ingest_zones(), ingest_month()] >> branch >> transform() >> checked >> last
    branch >> last


no_op()
