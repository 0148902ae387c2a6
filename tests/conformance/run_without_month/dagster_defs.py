"""A monthly asset in Dagster: a run has a partition, and a condition builds the same one of the next asset."""

import dagster as dg

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")

# Otherwise eager asks for the newest month only.
EACH = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())


@dg.asset(partitions_def=MONTHS)
def monthly_trips(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Load the month that is the run's partition."""
    return dg.MaterializeResult(metadata={"month": context.partition_key})


@dg.asset(partitions_def=MONTHS, deps=[monthly_trips], automation_condition=EACH)
def monthly_mart(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Build the mart of the month that was loaded."""
    return dg.MaterializeResult(metadata={"month": context.partition_key})


automation = dg.AutomationConditionSensorDefinition(
    "run_without_month",
    target=[monthly_mart],
    default_status=dg.DefaultSensorStatus.RUNNING,
    # As often as the daemon looks: every 5 s. The default is 30.
    minimum_interval_seconds=1,
    emit_backfills=False,
)

defs = dg.Definitions(
    assets=[monthly_trips, monthly_mart],
    jobs=[
        dg.define_asset_job("run_without_month_load", selection=[monthly_trips]),
        dg.define_asset_job("run_without_month_build", selection=[monthly_mart]),
    ],
    sensors=[automation],
)
