"""Alerts in Dagster: hooks in the run, sensors in the daemon, freshness policies, and asset checks that block."""

import datetime as dt

import dagster as dg
from dagster._core.definitions.freshness import FreshnessState

from tests.questions.alerts import work
from tests.questions.alerts.pipelines import LATE, LATE_BUT_ENDED, MAY_BE_LATE

LOOK_S = 1
RUNNING = dg.DefaultSensorStatus.RUNNING


@dg.failure_hook
def tell_in_run(context: dg.HookContext) -> None:
    """Tell of a failed op, in the process of the run."""
    work.tell("task", context.job_name)


@dg.op
def fail() -> None:
    """Fail."""
    work.fail("alerts_failing")


@dg.job(hooks={tell_in_run})
def alerts_failing() -> None:
    fail()


@dg.op
def die() -> None:
    """Die, without a Python exception."""
    work.die("alerts_dying")


# Run retries, which the lab turns on, would start it again, and tell of each attempt.
@dg.job(hooks={tell_in_run}, tags={"dagster/max_retries": "0"})
def alerts_dying() -> None:
    die()


@dg.op
def wait() -> None:
    """Be late."""
    work.held(LATE)


@dg.job
def alerts_late() -> None:
    wait()


@dg.op
def wait_and_end() -> None:
    """Be late, and end while the daemon is dead."""
    work.held(LATE_BUT_ENDED)


@dg.job
def alerts_late_but_ended() -> None:
    wait_and_end()


@dg.sensor(minimum_interval_seconds=LOOK_S, default_status=RUNNING)
def late_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Tell, once, of each run that is in progress for too long: Dagster has no alert for it."""
    latest = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=work.LATE_S)
    unfinished = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    old = context.instance.get_runs(dg.RunsFilter(statuses=unfinished, created_before=latest))
    late = {run.run_id: run.job_name for run in old if run.job_name in MAY_BE_LATE}
    for run_id in late.keys() - set((context.cursor or "").split()):
        work.tell("late", late[run_id])
    context.update_cursor(" ".join(sorted(late)))
    return dg.SkipReason(f"late: {len(late)}")


FRESH = dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(seconds=work.OLD_S))


@dg.asset(freshness_policy=FRESH)
def update_table() -> None:
    """Update the table."""


@dg.sensor(minimum_interval_seconds=LOOK_S, default_status=RUNNING)
def old_tables(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Tell, once, of a table whose policy fails: the daemon keeps the state, and tells nobody."""
    record = context.instance.get_freshness_state_records([update_table.key]).get(update_table.key)
    state = record.freshness_state if record else FreshnessState.UNKNOWN
    if state == FreshnessState.FAIL and context.cursor != state.value:
        work.tell("old", "alerts_table")
    context.update_cursor(state.value)
    return dg.SkipReason(f"the table: {state.value}")


@dg.asset
def load() -> dg.MaterializeResult[None]:
    """Load nothing, and go on."""
    return dg.MaterializeResult(metadata={"dagster/row_count": work.load()})


@dg.asset(deps=[load])
def use() -> None:
    """Use the table."""


@dg.asset
def load_checked() -> dg.MaterializeResult[None]:
    """Load nothing."""
    return dg.MaterializeResult(metadata={"dagster/row_count": work.load()})


@dg.asset_check(asset=load_checked, blocking=True)
def not_empty(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Notice. Without `blocking`, the check fails, the run succeeds, and what is downstream runs."""
    event = context.instance.get_latest_materialization_event(load_checked.key)
    assert event
    assert event.asset_materialization
    return dg.AssetCheckResult(passed=event.asset_materialization.metadata["dagster/row_count"].value != 0)


@dg.asset(deps=[load_checked])
def use_checked() -> None:
    """Use the table, unless the check has failed."""


alerts_table = dg.define_asset_job("alerts_table", [update_table])
alerts_unchecked = dg.define_asset_job("alerts_unchecked", [load, use])
alerts_checked = dg.define_asset_job("alerts_checked", [load_checked, use_checked])


@dg.run_failure_sensor(
    monitored_jobs=[alerts_failing, alerts_dying, alerts_unchecked, alerts_checked],
    # 1 is as often as the daemon looks: every 5 s. The default is 30.
    minimum_interval_seconds=LOOK_S,
    # Otherwise, a sensor is stopped until somebody turns it on.
    default_status=RUNNING,
)
def failed_runs(context: dg.RunFailureSensorContext) -> None:
    """Tell of a failed run: the daemon asks the code server for this."""
    work.tell("run", context.dagster_run.job_name)


defs = dg.Definitions(
    assets=[update_table, load, use, load_checked, use_checked],
    asset_checks=[not_empty],
    jobs=[
        alerts_failing,
        alerts_dying,
        alerts_late,
        alerts_late_but_ended,
        alerts_table,
        alerts_unchecked,
        alerts_checked,
    ],
    sensors=[failed_runs, late_runs, old_tables],
)
