"""Dependencies between Airflow's DAGs: one triggers another, one waits for another's run, or an asset is in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.providers.standard.sensors.external_task import ExternalTaskSensor
from airflow.sdk import Asset, PartitionedAssetTimetable, PartitionedAtRuntime, dag, task

from tests.questions.dependencies import work

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol as DagRun

PUBLISHED = Asset("published_month", uri="x-triptych://dependencies/published_month")

# TriggerDagRunOperator passes on a conf, and no partition key.
MONTH = "{{ dag_run.partition_key or dag_run.conf['month'] }}"


def month_of(dag_run: DagRun) -> str:
    """Return the same in Python."""
    return dag_run.partition_key or (dag_run.conf or {})["month"]


@task
def build(dag_run: DagRun) -> None:
    """Build the month of the run."""
    work.build(dag_run.dag_id, month_of(dag_run))


@dag(schedule=PartitionedAtRuntime())
def publish_month() -> None:
    """Publish a month; push the downstream DAG that is triggered."""

    @task(outlets=[PUBLISHED])
    def published_month(dag_run: DagRun, outlet_events: Any) -> None:
        work.publish(month_of(dag_run))
        # An event without a key would start no partitioned consumer.
        outlet_events[PUBLISHED].add_partitions(month_of(dag_run))

    tell = TriggerDagRunOperator(
        task_id="tell",
        trigger_dag_id="build_when_told",
        conf={"month": MONTH},
        # One run for a month: when the month is published again, that run is cleared, and runs again.
        trigger_run_id=f"told__{MONTH}",
        reset_dag_run=True,
    )
    published_month() >> tell  # type: ignore[call-arg]


@dag(schedule=PartitionedAtRuntime())
def build_when_told() -> None:
    """Push: build as soon as the upstream DAG triggers this one."""
    build()  # type: ignore[call-arg]


@dag(schedule=PartitionedAtRuntime())
def build_after_call() -> None:
    """Call: trigger the upstream DAG, and build when its run has succeeded."""
    call = TriggerDagRunOperator(
        task_id="call",
        trigger_dag_id="publish_month",
        conf={"month": MONTH},
        trigger_run_id=f"called__{MONTH}",
        reset_dag_run=True,
        wait_for_completion=True,
        deferrable=True,
        poke_interval=1,
    )
    call >> build()  # type: ignore[call-arg]


def wait(*, deferrable: bool) -> ExternalTaskSensor:
    """Return a sensor that waits for the upstream run of the same logical date: it does not look at partition keys."""
    return ExternalTaskSensor(
        task_id="wait",
        external_dag_id="publish_month",
        # Without this, a failed run is waited for until the time-out, by default for a week.
        failed_states=["failed"],
        deferrable=deferrable,
        # The default is 60 s.
        poke_interval=1,
    )


@dag(schedule=PartitionedAtRuntime())
def build_after_poll() -> None:
    """Poll: ask for the upstream run, in a process that does nothing else."""
    wait(deferrable=False) >> build()  # type: ignore[call-arg]


@dag(schedule=PartitionedAtRuntime())
def build_after_poll_deferred() -> None:
    """Poll, deferred: the triggerer asks for the upstream run, for all tasks that wait."""
    wait(deferrable=True) >> build()  # type: ignore[call-arg]


@dag(schedule=PartitionedAssetTimetable(assets=PUBLISHED))
def build_on_event() -> None:
    """Event: build the partition of the asset's event."""
    build.override(task_id="built_month")()  # type: ignore[call-arg]


for each in (
    publish_month, build_when_told, build_after_call, build_after_poll, build_after_poll_deferred, build_on_event,
):  # fmt: skip
    each()
