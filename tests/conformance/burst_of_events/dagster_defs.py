"""Events in Dagster: an asset sensor is called with a materialization, and asks for a run of the same partition."""

import dagster as dg

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")


@dg.asset(partitions_def=MONTHS)
def burst_trips(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Load the month that is the run's partition."""
    return dg.MaterializeResult(metadata={"month": context.partition_key})


@dg.asset(partitions_def=MONTHS)
def burst_mart(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Build the mart of a month."""
    return dg.MaterializeResult(metadata={"month": context.partition_key})


build = dg.define_asset_job("burst_of_events_build", selection=[burst_mart])


@dg.asset_sensor(asset_key=burst_trips.key, job=build, default_status=dg.DefaultSensorStatus.RUNNING)
def because_of_a_load(_context: dg.SensorEvaluationContext, event: dg.EventLogEntry) -> dg.RunRequest:
    """Ask for the mart of the month that was loaded."""
    assert event.dagster_event
    return dg.RunRequest(partition_key=event.dagster_event.partition)


defs = dg.Definitions(
    assets=[burst_trips, burst_mart],
    jobs=[dg.define_asset_job("burst_of_events_load", selection=[burst_trips]), build],
    sensors=[because_of_a_load],
)
