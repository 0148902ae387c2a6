"""The DAG `taxi_pipeline`: one run per month, on native monthly partitions; and `taxi_range`: one run for many months.

    ingest_zones ─┐
                  ├─► pending ─┬─► transform ─► check ─┬─► report
    ingest_month ─┘            └───────────────────────┘

The DAG processor parses this file again and again, so it does no work and imports nothing heavy: a task imports what it
needs when it runs. The docstrings of the DAG and of its tasks are the documentation on their pages in Airflow.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow.sdk import (
    Asset,
    CronPartitionTimetable,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    dag,
    task,
    task_group,
)

from core.errors import RETRIES, RETRY_DELAY_S, TransientError, TriptychError, UsageError
from core.month import EARLIEST, Month, parse_months
from core.run import HELP, JOBS, STRATEGIES, TASK_TIMEOUT_S, Receipt, Run
from core.settings import default_source

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import OutletEventAccessors as Events
    from airflow.sdk.types import DagRunProtocol as DagRun

P = ParamSpec("P")
T = TypeVar("T")

# The publisher is two months late, so the offset is three: the run of 1 April is January's.
MONTHLY = CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-3, key_format="%Y-%m")

ONLY_TRANSIENT = ExceptionRetryPolicy(
    [RetryRule(TransientError, reason="a transient error: another attempt may succeed")], default=RetryAction.FAIL
)
"""Retry what may succeed the next time, and a process that was killed. Other exceptions and time-outs fail at once."""

# Not postgres://host/database/schema/table: only a run knows its database, and its schema, which each event's extra
# names. Airflow leaves a URI whose scheme begins with "x-" as it is, whichever providers are installed.
RAW_ZONES = Asset("raw_zones", uri="x-triptych://warehouse/raw_zones")
RAW_TRIPS = Asset("raw_trips", uri="x-triptych://warehouse/raw_trips")
FCT_TRIPS = Asset("fct_trips", uri="x-triptych://warehouse/fct_trips")
DAILY_BOROUGH_STATS = Asset("daily_borough_stats", uri="x-triptych://warehouse/daily_borough_stats")

MONTH = Param(
    None,
    type=["null", "string"],
    description="The month to load, such as 2024-01. A run that has a partition key, such as each run of a backfill, "
    "loads that month: leave this empty there",
)
"""The month of a run that is triggered by hand. The form shows a partition key only below its advanced options."""

MONTHS = Param(type="string", minLength=7, description="The months to load, such as 2024-01..2024-03")
"""The months of a run of the DAG `taxi_range`."""

RUN_PARAMS = {
    "source": Param(
        default_source(), type="string", minLength=1, examples=["sample", "tlc"], description=HELP["source"]
    ),
    "schema": Param("airflow", type="string", minLength=1, description=HELP["schema"]),
    "strategy": Param("swap", type="string", enum=list(STRATEGIES), description=HELP["strategy"]),
    "force": Param(False, type="boolean", description=HELP["force"]),
    "accept_suspect": Param(False, type="boolean", description=HELP["accept_suspect"]),
    "strict": Param(False, type="boolean", description=HELP["strict"]),
}
"""The fields of `core.run.RunParameters`, as the trigger form shows them. Scheduled runs use the defaults."""

DEFAULT_ARGS = {
    "owner": "triptych",
    "retries": RETRIES,
    "retry_delay": dt.timedelta(seconds=RETRY_DELAY_S),
    "retry_policy": ONLY_TRANSIENT,
    "execution_timeout": dt.timedelta(seconds=TASK_TIMEOUT_S),
}
"""The options of every task."""


LABEL = "{{ task.op_kwargs['month'] }}"
"""The label of a mapped task instance: its month."""


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


def run_of(params: Mapping[str, Any], dag_run: DagRun) -> Run:
    """Return the run as the pipeline takes it."""
    parameters = {name: value for name, value in params.items() if name not in ("month", "months")}
    return Run.of(parameters, "airflow", dag_run.run_id)


def xcom(receipt: Receipt, run: Run, month: Month, outlet_events: Events, *tables: Asset) -> dict[str, Any]:
    """Return the receipt as an XCom; add to each table's event its month, its schema, and whether the table changed."""
    for table in tables:
        event = outlet_events[table]
        event.extra = {"schema": run.schema, "state": receipt.state}
        # The run's own key, except where the run has its month from the param and no key
        event.add_partitions(str(month))
    return receipt.to_json()


def cause_only(step: Callable[P, T]) -> Callable[P, T]:
    """Raise a step's error of ours without the frames below it: a task's log opens at its end, where the message is.

    Its class stays as it is, and decides on a retry. An error that is a bug keeps its frames.
    """

    @wraps(step)
    def task_function(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return step(*args, **kwargs)
        except TriptychError as error:
            raise error.with_traceback(None) from None

    return task_function


@dag(
    description="One month of New York's green-taxi trips, from the published file to tested dbt models",
    schedule=MONTHLY,
    start_date=dt.datetime.combine(Month.parse(EARLIEST).first_day, dt.time(), dt.UTC),
    catchup=False,
    params={"month": MONTH, **RUN_PARAMS},
    default_args=DEFAULT_ARGS,
    tags=["triptych"],
)
def taxi_pipeline() -> None:
    """Load one month of New York's green-taxi trips into PostgreSQL, and bring the dbt models up to date.

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


# In this file, because Airflow would register `taxi_pipeline` again for a file that imports this one.
@dag(
    description="A range of months of New York's green-taxi trips as one run",
    schedule=None,
    params={"months": MONTHS, **RUN_PARAMS},
    default_args={**DEFAULT_ARGS, "max_active_tis_per_dagrun": JOBS},
    tags=["triptych"],
)
def taxi_range() -> None:
    """Load a range of months in one run: the steps of `taxi_pipeline`, mapped over the months.

    ```text
    months ─► ingest_month [..] ─┐
                                 ├─► transform [..] ─► check [..]
              ingest_zones ──────┘
    ```

    The run has no partition key: a month is the label of its mapped task instances. To run one month again, clear its
    instances.
    """

    @task
    @cause_only
    def months(params: dict[str, Any]) -> list[str]:
        """Return the months of the range, for which the tasks are mapped."""
        return [str(month) for month in parse_months(params["months"])]

    @task(multiple_outputs=False)
    @cause_only
    def ingest_zones(params: dict[str, Any], dag_run: DagRun) -> dict[str, Any]:
        """Load the lookup of the 265 taxi zones, once for all months."""
        from core import pipeline

        return pipeline.ingest_zones(run_of(params, dag_run)).to_json()

    @task(outlets=[RAW_TRIPS], multiple_outputs=False, map_index_template=LABEL)
    @cause_only
    def ingest_month(month: str, params: dict[str, Any], dag_run: DagRun, outlet_events: Events) -> dict[str, Any]:
        """Fetch a month's file, and publish its rows."""
        from core import pipeline

        run, of = run_of(params, dag_run), Month.parse(month)
        return report(pipeline.ingest_month(run, of), run, of, outlet_events, RAW_TRIPS)

    @task(outlets=[FCT_TRIPS, DAILY_BOROUGH_STATS], multiple_outputs=False, map_index_template=LABEL)
    @cause_only
    def transform(month: str, params: dict[str, Any], dag_run: DagRun, outlet_events: Events) -> dict[str, Any]:
        """Build and test the dbt models for all months loaded since the last build."""
        from core import pipeline

        run, of = run_of(params, dag_run), Month.parse(month)
        return report(pipeline.transform(run, of), run, of, outlet_events, FCT_TRIPS, DAILY_BOROUGH_STATS)

    # region mapped
    @task(multiple_outputs=False, map_index_template=LABEL)
    @cause_only
    def check(month: str, params: dict[str, Any], dag_run: DagRun) -> dict[str, Any]:
        """Fail if a month's rows broke a data test of the build."""
        from core import pipeline

        return pipeline.check(run_of(params, dag_run), Month.parse(month)).to_json()

    zones = ingest_zones()  # type: ignore[call-arg]

    # A group, and not three mapped tasks: a step waits for its own month only.
    @task_group(prefix_group_id=False)
    def steps(month: str) -> None:
        # By name: the label is made of a keyword argument.
        [ingest_month(month=month), zones] >> transform(month=month) >> check(month=month)  # type: ignore[call-arg, misc]

    steps.expand(month=months())  # type: ignore[call-arg]
    # endregion


taxi_range()
