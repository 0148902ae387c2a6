"""Event-driven chaining in Dagster: a condition on an asset asks for each partition whose upstream was materialized."""

import dagster as dg

from tests.questions.events import work
from tests.questions.events.pipelines import BATCH

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2021-01", fmt="%Y-%m")


class Ingest(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """The parameters of an ingest: a job with partitions takes no config mapping."""

    source: str = "sample"
    force: bool = False
    fail: str = ""


@dg.asset(partitions_def=MONTHS, group_name="events")
def ingested_trips(context: dg.AssetExecutionContext, parameters: Ingest) -> dg.MaterializeResult[None]:
    """Load the month that is the run's partition: the materialization is the event."""
    receipt = work.load("dagster", context.run.run_id, context.partition_key, **parameters.model_dump())
    return dg.MaterializeResult(metadata=receipt)


# As shipped, eager takes a load for handled when the refresh that was under way has ended, also when that has read the
# month before (tests/conformance/load_during_refresh). Here only a request does, and no load since that request.
HANDLED = dg.AutomationCondition.newly_requested() & ~dg.AutomationCondition.any_deps_updated()

# With the time window, eager would ask for the newest month only.
EACH = (
    dg.AutomationCondition.eager()
    .without(dg.AutomationCondition.in_latest_time_window())
    .replace("handled", HANDLED | dg.AutomationCondition.initial_evaluation())
)


@dg.asset(deps=[ingested_trips], partitions_def=MONTHS, automation_condition=EACH, group_name="events")
def refreshed_trips(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Build the month that is the run's partition."""
    return dg.MaterializeResult(metadata=work.build("dagster", context.run.run_id, context.partition_key))


SEVEN = dg.AssetDep(ingested_trips, partition_mapping=dg.SpecificPartitionsPartitionMapping(BATCH))


@dg.asset(deps=[SEVEN], automation_condition=dg.AutomationCondition.eager(), group_name="events")
def refreshed_batch(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Build once for seven months: eager waits until none of them is missing or in progress."""
    return dg.MaterializeResult(metadata=work.build("dagster", context.run.run_id))


automation = dg.AutomationConditionSensorDefinition(
    "events",
    target=dg.AssetSelection.groups("events"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    # As often as the daemon looks: every 5 s. The default is 30.
    minimum_interval_seconds=1,
    # A run for each month, also where one look finds several.
    emit_backfills=False,
)

defs = dg.Definitions(
    assets=[ingested_trips, refreshed_trips, refreshed_batch],
    jobs=[
        dg.define_asset_job("ingest_taxi_data", selection=[ingested_trips]),
        dg.define_asset_job("refresh_fct_trips", selection=[refreshed_trips]),
        dg.define_asset_job("refresh_batch", selection=[refreshed_batch]),
    ],
    sensors=[automation],
    resources={"parameters": Ingest()},
)
