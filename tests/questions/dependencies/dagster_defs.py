"""Dependencies between Dagster's jobs: a sensor sees what the upstream job did, and asks for a run; no run waits."""

from collections.abc import Iterator

import dagster as dg

from core.waiting import until
from tests.questions.dependencies import work

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2023-01", fmt="%Y-%m")


@dg.asset(partitions_def=MONTHS, group_name="dependencies")
def published_month(context: dg.AssetExecutionContext) -> None:
    """Publish the month that is the run's partition."""
    work.publish(context.partition_key)


publish_month = dg.define_asset_job("publish_month", selection=[published_month])


@dg.op(ins={"start": dg.In(dg.Nothing)})
def build(context: dg.OpExecutionContext) -> None:
    """Build the month that is the run's partition."""
    work.build(context.job_name, context.partition_key)


@dg.job(partitions_def=MONTHS)
def build_when_told() -> None:
    """Push: build when the daemon has seen that the upstream run succeeded."""
    build()


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[publish_month],
    request_job=build_when_told,
    default_status=dg.DefaultSensorStatus.RUNNING,
    # As often as the daemon looks: every 5 s. The default is 30.
    minimum_interval_seconds=1,
)
def tell(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    """Ask for a run of the same month."""
    return dg.RunRequest(partition_key=context.partition_key)


@dg.op
def call(context: dg.OpExecutionContext) -> None:
    """Publish: a job calls no other job, and what it needs is a step of its own run."""
    work.publish(context.partition_key)


@dg.job(partitions_def=MONTHS)
def build_after_call() -> None:
    """Call: publish and build in one run."""
    build(call())


@dg.op
def wait(context: dg.OpExecutionContext) -> None:
    """Ask for the newest upstream run of the month every second, in a process that does nothing else."""
    upstream = dg.RunsFilter(job_name="publish_month", tags={"dagster/partition": context.partition_key})

    def is_published() -> bool | None:
        status = next((run.status for run in context.instance.get_runs(upstream, limit=1)), None)
        if status == dg.DagsterRunStatus.FAILURE:
            raise dg.Failure(f"{context.partition_key} was not published", allow_retries=False)
        return True if status == dg.DagsterRunStatus.SUCCESS else None

    until(is_published, work.LIMIT_S, 1, f"the upstream run of {context.partition_key}")


@dg.job(partitions_def=MONTHS)
def build_after_poll() -> None:
    """Poll: ask for the upstream run from inside of this one."""
    build(wait())


@dg.job(partitions_def=MONTHS)
def build_after_poll_deferred() -> None:
    """Poll, deferred: the run is asked for when there is something to build."""
    build()


@dg.sensor(job=build_after_poll_deferred, default_status=dg.DefaultSensorStatus.RUNNING, minimum_interval_seconds=1)
def upstream_runs(context: dg.SensorEvaluationContext) -> Iterator[dg.RunRequest]:
    """Look at the newest upstream runs that have succeeded: a run key asks for one run, however often it is seen."""
    succeeded = dg.RunsFilter(job_name="publish_month", statuses=[dg.DagsterRunStatus.SUCCESS])
    for run in context.instance.get_runs(succeeded, limit=20):
        yield dg.RunRequest(run_key=run.run_id, partition_key=run.tags["dagster/partition"])


# Otherwise eager asks for the newest month only.
EACH = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())


@dg.asset(deps=[published_month], partitions_def=MONTHS, automation_condition=EACH, group_name="dependencies")
def built_month(context: dg.AssetExecutionContext) -> None:
    """Event: build the month as soon as its upstream asset is materialized."""
    work.build("build_on_event", context.partition_key)


automation = dg.AutomationConditionSensorDefinition(
    "dependencies",
    target=dg.AssetSelection.groups("dependencies"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=1,
    emit_backfills=False,
)

defs = dg.Definitions(
    assets=[published_month, built_month],
    jobs=[
        publish_month,
        build_when_told,
        build_after_call,
        build_after_poll,
        build_after_poll_deferred,
        dg.define_asset_job("build_on_event", selection=[built_month]),
    ],
    sensors=[tell, upstream_runs, automation],
)
