"""A refresh in Dagster: the condition `eager`, which asks for no partition that is in progress."""

import dagster as dg

from tests.conformance.load_during_refresh import work

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")

# Otherwise eager asks for the newest month only.
EACH = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())


@dg.asset(partitions_def=MONTHS)
def moving_trips(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Load the month that is the run's partition."""
    return dg.MaterializeResult(metadata=work.load(context.partition_key))


@dg.asset(partitions_def=MONTHS, deps=[moving_trips], automation_condition=EACH)
def moving_mart(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Refresh the mart of the month that was loaded."""
    return dg.MaterializeResult(metadata=work.refresh(context.partition_key))


automation = dg.AutomationConditionSensorDefinition(
    "load_during_refresh",
    target=[moving_mart],
    default_status=dg.DefaultSensorStatus.RUNNING,
    # As often as the daemon looks: every 5 s. The default is 30.
    minimum_interval_seconds=1,
    emit_backfills=False,
)

defs = dg.Definitions(
    assets=[moving_trips, moving_mart],
    jobs=[
        dg.define_asset_job("load_during_refresh_load", selection=[moving_trips]),
        dg.define_asset_job("load_during_refresh_mart", selection=[moving_mart]),
    ],
    sensors=[automation],
)
