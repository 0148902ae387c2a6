"""The DAG `taxi_range`: a range of months as one run, whose steps are mapped over the months.

A backfill of `taxi_pipeline` is the other form, with a run for each month.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param, dag, task, task_group

from airflow_impl.steps import (
    DAILY_BOROUGH_STATS,
    DEFAULT_ARGS,
    FCT_TRIPS,
    RAW_TRIPS,
    RUN_PARAMS,
    cause_only,
    run_of,
    xcom,
)
from core.month import Month, parse_months
from core.run import JOBS

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import OutletEventAccessors as Events
    from airflow.sdk.types import DagRunProtocol as DagRun

MONTHS = Param(type="string", minLength=7, description="The months to load, such as 2024-01..2024-03")
"""The months of a run."""

LABEL = "{{ task.op_kwargs['month'] }}"
"""The label of a mapped task instance: its month."""


@dag(
    description="A range of months of New York's taxi trips as one run",
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
        return xcom(pipeline.ingest_month(run, of), run, of, outlet_events, RAW_TRIPS)

    @task(outlets=[FCT_TRIPS, DAILY_BOROUGH_STATS], multiple_outputs=False, map_index_template=LABEL)
    @cause_only
    def transform(month: str, params: dict[str, Any], dag_run: DagRun, outlet_events: Events) -> dict[str, Any]:
        """Build and test the dbt models for all months loaded since the last build."""
        from core import pipeline

        run, of = run_of(params, dag_run), Month.parse(month)
        return xcom(pipeline.transform(run, of), run, of, outlet_events, FCT_TRIPS, DAILY_BOROUGH_STATS)

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

    # region mapped
    steps.expand(month=months())  # type: ignore[call-arg]
    # endregion


taxi_range()
