"""The range in Dagster as assets whose backfill is one run: a step is of all the months, and so is its failure."""

import dagster as dg

from core import pipeline
from core.month import Month
from dagster_impl.defs.resources import Parameters
from dagster_impl.steps import MONTHS, failures
from tests.questions.dynamic.pipelines import SINGLE_RUN

RANGE = dg.BackfillPolicy.single_run()


@dg.asset(partitions_def=MONTHS, backfill_policy=RANGE)
def range_trips(context: dg.AssetExecutionContext, parameters: Parameters) -> None:
    """Publish the rows of every month of the run, one after the other."""
    run = parameters.run(context.run.run_id)
    for month in context.partition_keys:
        with failures(context):
            receipt = pipeline.ingest_month(run, Month.parse(month))
        context.add_asset_metadata(receipt.to_json(), partition_key=month)


@dg.asset(partitions_def=MONTHS, backfill_policy=RANGE, deps=[range_trips])
def range_models(context: dg.AssetExecutionContext, parameters: Parameters) -> None:
    """Build and check the models for every month of the run."""
    run = parameters.run(context.run.run_id)
    with failures(context):
        pipeline.ingest_zones(run)
        for month in context.partition_keys:
            pipeline.transform(run, Month.parse(month))
            pipeline.check(run, Month.parse(month))


defs = dg.Definitions(
    assets=[range_trips, range_models],
    jobs=[dg.define_asset_job(SINGLE_RUN, [range_trips, range_models])],
    resources={"parameters": Parameters()},
)
