"""A refresh in Dagster: the condition `eager`, as it is shipped."""

import dagster as dg

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", end_date="2024-07", fmt="%Y-%m")


@dg.asset(partitions_def=MONTHS)
def older_trips(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Load the month that is the run's partition."""
    return dg.MaterializeResult(metadata={"month": context.partition_key})


@dg.asset(partitions_def=MONTHS, deps=[older_trips], automation_condition=dg.AutomationCondition.eager())
def older_mart(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Refresh the mart of the month that was loaded."""
    return dg.MaterializeResult(metadata={"month": context.partition_key})


automation = dg.AutomationConditionSensorDefinition(
    "older_month",
    target=[older_mart],
    default_status=dg.DefaultSensorStatus.RUNNING,
    # As often as the daemon looks: every 5 s. The default is 30.
    minimum_interval_seconds=1,
    emit_backfills=False,
)

defs = dg.Definitions(
    assets=[older_trips, older_mart],
    jobs=[
        dg.define_asset_job("older_month_load", selection=[older_trips]),
        dg.define_asset_job("older_month_refresh", selection=[older_mart]),
    ],
    sensors=[automation],
)
