"""Event-driven chaining in Dagster: a condition on an asset asks for each partition whose upstream was materialized."""

import dagster as dg

from tests.questions.events import work
from tests.questions.events.pipelines import BATCH

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2021-01", fmt="%Y-%m")
RAW_TRIPS = dg.AssetKey(["events", "raw_trips"])


class Ingest(dg.Config):
    """The parameters of an ingest."""

    source: str = "sample"
    force: bool = False
    fail: str = ""


@dg.multi_asset(name="load_trips", specs=[dg.AssetSpec(RAW_TRIPS, group_name="events")], partitions_def=MONTHS)
def load_trips(context: dg.AssetExecutionContext, config: Ingest) -> dg.MaterializeResult[None]:
    """Load the month that is the run's partition."""
    receipt = work.load("dagster", context.run.run_id, context.partition_key, **config.model_dump())
    return dg.MaterializeResult(metadata=receipt)


# Without the latest window: otherwise only the newest month would be asked for.
EACH = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())
FCT_TRIPS = dg.AssetSpec(["events", "fct_trips"], deps=[RAW_TRIPS], group_name="events", automation_condition=EACH)


@dg.multi_asset(name="build_trips", specs=[FCT_TRIPS], partitions_def=MONTHS)
def build_trips(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Build the month that is the run's partition."""
    return dg.MaterializeResult(metadata=work.build("dagster", context.run.run_id, context.partition_key))


# Eager waits until no month of the seven is missing or in progress.
SEVEN = dg.AssetDep(RAW_TRIPS, partition_mapping=dg.SpecificPartitionsPartitionMapping(BATCH))
TOGETHER = dg.AssetSpec(
    ["events", "batch"], deps=[SEVEN], group_name="events", automation_condition=dg.AutomationCondition.eager()
)


@dg.multi_asset(name="build_batch", specs=[TOGETHER])
def build_batch(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Build once for all seven months."""
    return dg.MaterializeResult(metadata=work.build("dagster", context.run.run_id))


@dg.config_mapping
def parameters(config: Ingest) -> dg.RunConfig:
    """Return the run config of an ingest, from flat parameters."""
    return dg.RunConfig(ops={"load_trips": config})


automation = dg.AutomationConditionSensorDefinition(
    "events",
    target=dg.AssetSelection.groups("events"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    # As often as the daemon looks: every 5 s. The default is 30.
    minimum_interval_seconds=1,
    # A run for each month, also where a tick finds several.
    emit_backfills=False,
)

defs = dg.Definitions(
    assets=[load_trips, build_trips, build_batch],
    jobs=[
        dg.define_asset_job("ingest_taxi_data", selection=[load_trips], config=parameters),
        dg.define_asset_job("refresh_fct_trips", selection=[build_trips]),
        dg.define_asset_job("refresh_batch", selection=[build_batch]),
    ],
    sensors=[automation],
)
