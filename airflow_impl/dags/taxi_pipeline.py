"""The DAG: one run per month, on native monthly partitions.

    ingest_zones ─┐
                  ├─► transform ─► check
    ingest_month ─┘

This file is parsed again and again by the DAG processor, so it does no work and imports nothing heavy: what a task
needs is imported when the task runs. A task returns its receipt, which Airflow keeps as a small XCom; what the receipt
warns of is in the task's log too, at level WARNING.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import CronPartitionTimetable, ExceptionRetryPolicy, Param, RetryAction, RetryRule, dag, task

from core.errors import RETRIES, RETRY_DELAY_S, TransientError, UsageError
from core.month import EARLIEST, Month
from core.run import STRATEGIES

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol as DagRun

    from core.run import Run

MONTHLY = CronPartitionTimetable(
    "0 0 1 * *",
    timezone="UTC",
    run_offset=-3,  # the publisher is two months late: the run of 1 April is January's
    key_format="%Y-%m",
)

ONLY_TRANSIENT = ExceptionRetryPolicy([RetryRule(TransientError)], default=RetryAction.FAIL)
"""Try again what may end by itself. Any other exception fails at once; a killed process is tried again too."""

PARAMS = {
    "source": Param(
        "tlc", type="string", minLength=1, description="A folder, an http(s) prefix, or tlc: the publisher"
    ),
    "schema": Param("airflow", type="string", minLength=1, description="The PostgreSQL schema that is written"),
    "strategy": Param("swap", type="string", description=f"How a month is published: {', '.join(STRATEGIES)}"),
    "force": Param(False, type="boolean", description="Load again what the ledger shows as loaded"),
    "accept_suspect": Param(
        False, type="boolean", description="Publish files that look wrong, such as another month's"
    ),
    "strict": Param(False, type="boolean", description="Fail a month for a warning of a data test too"),
}
"""The fields of `core.run.RunParameters`. A backfill sends its own; these serve scheduled and manual runs."""


def month_of(dag_run: DagRun) -> Month:
    """The run's month: the same key for a scheduled, a manual and a backfill run; raise `UsageError` without one."""
    if dag_run.partition_key is None:
        raise UsageError("this run has no month: trigger it with a partition key, such as 2024-01")
    return Month.parse(dag_run.partition_key)


def run_of(params: Mapping[str, Any], dag_run: DagRun) -> Run:
    """The run, from its parameters."""
    from core.run import Run

    return Run.of(params, "airflow", dag_run.run_id)


@dag(
    schedule=MONTHLY,
    start_date=dt.datetime.combine(Month.parse(EARLIEST).first_day, dt.time(), dt.UTC),
    catchup=False,
    params=PARAMS,
    default_args={
        "retries": RETRIES,
        "retry_delay": dt.timedelta(seconds=RETRY_DELAY_S),
        "retry_policy": ONLY_TRANSIENT,
    },
    doc_md=__doc__,
    tags=["triptych"],
)
def taxi_pipeline() -> None:
    """One month of green-taxi trips: extract, load, transform, check."""
    # multiple_outputs=False: one XCom for a receipt; the annotation `dict` alone gives one for each of its fields

    @task(multiple_outputs=False)
    def ingest_zones(params: dict[str, Any], dag_run: DagRun) -> dict[str, Any]:
        """Load the zone lookup."""
        from core import pipeline

        return pipeline.ingest_zones(run_of(params, dag_run)).to_json()

    @task(multiple_outputs=False)
    def ingest_month(params: dict[str, Any], dag_run: DagRun) -> dict[str, Any]:
        """Load the month's file as the month's partition of raw_trips."""
        from core import pipeline

        return pipeline.ingest_month(run_of(params, dag_run), month_of(dag_run)).to_json()

    @task(multiple_outputs=False)
    def transform(params: dict[str, Any], dag_run: DagRun) -> dict[str, Any]:
        """Bring the dbt models up to date."""
        from core import pipeline

        return pipeline.transform(run_of(params, dag_run), month_of(dag_run)).to_json()

    @task(multiple_outputs=False)
    def check(params: dict[str, Any], dag_run: DagRun) -> dict[str, Any]:
        """Report the data tests of the month's build."""
        from core import pipeline

        return pipeline.check(run_of(params, dag_run), month_of(dag_run)).to_json()

    [ingest_zones(), ingest_month()] >> transform() >> check()  # type: ignore[call-arg, misc]  # Airflow gives the arguments


taxi_pipeline()
