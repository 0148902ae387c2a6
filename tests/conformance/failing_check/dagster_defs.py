"""A data test in Dagster: an asset check that blocks what is downstream, and a condition on the mart."""

import dagster as dg

from tests.conformance.failing_check.pipelines import BAD

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")

# Otherwise eager asks for the newest month only.
EACH = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())


@dg.asset(partitions_def=MONTHS)
def checked_staging(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Load the month that is the run's partition."""
    return dg.MaterializeResult(metadata={"month": context.partition_key})


@dg.asset_check(asset=checked_staging, blocking=True)
def check_rows(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Test the month that was loaded."""
    return dg.AssetCheckResult(passed=context.op_execution_context.partition_key != BAD)


@dg.asset(partitions_def=MONTHS, deps=[checked_staging], automation_condition=EACH)
def checked_mart(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Rebuild the mart of the month that was loaded."""
    return dg.MaterializeResult(metadata={"month": context.partition_key})


automation = dg.AutomationConditionSensorDefinition(
    "failing_check",
    target=[checked_mart],
    default_status=dg.DefaultSensorStatus.RUNNING,
    # As often as the daemon looks: every 5 s. The default is 30.
    minimum_interval_seconds=1,
    emit_backfills=False,
)

defs = dg.Definitions(
    assets=[checked_staging, checked_mart],
    asset_checks=[check_rows],
    jobs=[
        dg.define_asset_job("failing_check_load", selection=[checked_staging]),
        dg.define_asset_job("failing_check_build", selection=[checked_mart]),
    ],
    sensors=[automation],
)
