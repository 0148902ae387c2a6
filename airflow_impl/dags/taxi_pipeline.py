"""The DAG `taxi_pipeline`: one run per month, on native monthly partitions.

    ingest_zones ─┐
                  ├─► pending ─┬─► transform ─► check ─┬─► report
    ingest_month ─┘            └───────────────────────┘

The DAG processor parses this file again and again, so it does no work and imports nothing heavy: a task imports what it
needs when it runs. The docstrings of the DAG and of its tasks are the documentation on their pages in Airflow.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import CronPartitionTimetable, Param, dag, task

from airflow_impl.steps import (
    DAILY_BOROUGH_STATS,
    DEFAULT_ARGS,
    FCT_TRIPS,
    RAW_TRIPS,
    RAW_ZONES,
    RUN_PARAMS,
    cause_only,
    run_of,
    xcom,
)
from core.errors import UsageError
from core.month import EARLIEST, Month

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import OutletEventAccessors as Events
    from airflow.sdk.types import DagRunProtocol as DagRun

# The publisher is two months late, so the offset is three: the run of 1 April is January's.
MONTHLY = CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-3, key_format="%Y-%m")

MONTH = Param(
    None,
    type=["null", "string"],
    description="The month to load, such as 2024-01. A run that has a partition key, such as each run of a backfill, "
    "loads that month: leave this empty there",
)
"""The month of a run that is triggered by hand. The form shows a partition key only below its advanced options."""


def month_of(params: Mapping[str, Any], dag_run: DagRun) -> Month:
    """Return the run's month: its partition key, or else the param. Raise `UsageError` for neither, or for two months.

    A backfill with a month in its params must not load that one again and again.
    """
    key, month = dag_run.partition_key, params.get("month")
    if key and month and key != month:
        raise UsageError(f"this run has the partition key {key} and the month {month}: leave the month empty")
    if named := key or month:
        return Month.parse(named)
    raise UsageError("this run has no month: trigger it with one, such as 2024-01")


@dag(
    description="One month of New York's taxi trips, from the published file to tested dbt models",
    schedule=MONTHLY,
    start_date=dt.datetime.combine(Month.parse(EARLIEST).first_day, dt.time(), dt.UTC),
    catchup=False,
    params={"month": MONTH, **RUN_PARAMS},
    default_args=DEFAULT_ARGS,
    tags=["triptych"],
)
def taxi_pipeline() -> None:
    """Load one month of New York's taxi trips into PostgreSQL, and bring the dbt models up to date.

    ```text
    ingest_zones ─┐
                  ├─► pending ─┬─► transform ─► check ─┬─► report
    ingest_month ─┘            └───────────────────────┘
    ```

    **The month** is that of the publisher's file, such as `2024-01`. The publisher is two months late, so the scheduled
    run of 1 April loads January.

    - **One month:** trigger the DAG, and fill in `month`. The run's partition key, below the advanced options, means
      the same. A run with neither fails.
    - **A range of months:** start a backfill, with `month` left empty. Each month is a run of its own, and is its
      partition key. A failed month holds back no other.
    - **The same month again** is always safe. When the same bytes are already loaded, `ingest_month` reports
      `unchanged`, and when the models are built from them, `transform` and `check` are skipped. Set `force` to load
      them again.

    Each task logs what it did, and leaves a receipt as its XCom `return_value`: state, rows, bytes, SHA-256, digest,
    and warnings. When the source or the database does not answer, the task is retried. Any other error fails it at
    once, and the message says what to do next.
    """

    # multiple_outputs=False: one XCom per receipt. The return annotation `dict` alone makes one per field.

    @task(outlets=[RAW_ZONES], multiple_outputs=False)
    @cause_only
    def ingest_zones(params: dict[str, Any], dag_run: DagRun, outlet_events: Events) -> dict[str, Any]:
        """Load the lookup of the 265 taxi zones, whole, as table `raw_zones`."""
        from core import pipeline

        run, month = run_of(params, dag_run), month_of(params, dag_run)
        return xcom(pipeline.ingest_zones(run), run, month, outlet_events, RAW_ZONES)

    @task(outlets=[RAW_TRIPS], multiple_outputs=False)
    @cause_only
    def ingest_month(params: dict[str, Any], dag_run: DagRun, outlet_events: Events) -> dict[str, Any]:
        """Fetch the month's file, and publish its rows as the month's partition of `raw_trips`, in one transaction."""
        from core import pipeline

        run, month = run_of(params, dag_run), month_of(params, dag_run)
        return xcom(pipeline.ingest_month(run, month), run, month, outlet_events, RAW_TRIPS)

    @task.branch
    @cause_only
    def pending(params: dict[str, Any], dag_run: DagRun) -> str:
        """Skip `transform` and `check` if the models are built from this month's file, and its last check passed."""
        from core import pipeline

        return "transform" if pipeline.pending(run_of(params, dag_run), month_of(params, dag_run)) else "report"

    @task(outlets=[FCT_TRIPS, DAILY_BOROUGH_STATS], multiple_outputs=False)
    @cause_only
    def transform(params: dict[str, Any], dag_run: DagRun, outlet_events: Events) -> dict[str, Any]:
        """Build and test the dbt models for all months loaded since the last build, not only for this run's month."""
        from core import pipeline

        run, month = run_of(params, dag_run), month_of(params, dag_run)
        return xcom(pipeline.transform(run, month), run, month, outlet_events, FCT_TRIPS, DAILY_BOROUGH_STATS)

    @task(multiple_outputs=False)
    @cause_only
    def check(params: dict[str, Any], dag_run: DagRun) -> dict[str, Any]:
        """Fail if this month's rows broke a data test of the build; of severity `warn`, only with `strict`."""
        from core import pipeline

        return pipeline.check(run_of(params, dag_run), month_of(params, dag_run)).to_json()

    @task(trigger_rule="none_failed_min_one_success", multiple_outputs=False)
    @cause_only
    def report(checked: dict[str, Any] | None, params: dict[str, Any], dag_run: DagRun) -> dict[str, Any]:
        """Report on the month in one line, whether it was built or skipped, but not if a task before it failed."""
        from core import pipeline

        # A skipped task leaves no XCom.
        return pipeline.report(run_of(params, dag_run), month_of(params, dag_run), built=checked is not None).to_json()

    # region graph
    # Airflow passes the other arguments when a task runs.
    branch, checked = pending(), check()  # type: ignore[call-arg]
    [ingest_zones(), ingest_month()] >> branch >> transform() >> checked  # type: ignore[call-arg, misc]
    branch >> report(checked)  # type: ignore[arg-type, call-arg, misc]
    # endregion


taxi_pipeline()
