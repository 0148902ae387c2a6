"""A roll-up in Dagster: a quarter depends on the months in its window, and `eager` waits until none is missing."""

import dagster as dg

from tests.conformance.corrected_quarter import work

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")
QUARTERS = dg.TimeWindowPartitionsDefinition(start="2024-01", cron_schedule="0 0 1 */3 *", fmt="%Y-%m")

# Otherwise eager asks for the newest quarter only.
EACH = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())


@dg.asset(partitions_def=MONTHS)
def quarter_trips(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Load the month that is the run's partition."""
    return dg.MaterializeResult(metadata=work.load(context.partition_key))


@dg.asset(partitions_def=QUARTERS, deps=[quarter_trips], automation_condition=EACH)
def quarter_mart(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Sum the months of the quarter that begins with the month of the run's partition."""
    return dg.MaterializeResult(metadata=work.roll_up(work.quarter_of(context.partition_key)))


automation = dg.AutomationConditionSensorDefinition(
    "corrected_quarter",
    target=[quarter_mart],
    default_status=dg.DefaultSensorStatus.RUNNING,
    # As often as the daemon looks: every 5 s. The default is 30.
    minimum_interval_seconds=1,
    emit_backfills=False,
)

defs = dg.Definitions(
    assets=[quarter_trips, quarter_mart],
    jobs=[
        dg.define_asset_job("corrected_quarter_load", selection=[quarter_trips]),
        dg.define_asset_job("corrected_quarter_roll_up", selection=[quarter_mart]),
    ],
    sensors=[automation],
)
