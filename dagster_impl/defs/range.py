"""The job `taxi_range`: a range of months as one run, whose steps are mapped over the months.

A backfill of the job `taxi_pipeline` is the other form, with a run for each month. A job of ops and not assets, because
one step of an asset is of all the partitions of its run: with `dg.BackfillPolicy.single_run()`, one bad month fails
them all.
"""

from collections.abc import Iterator

import dagster as dg

from core import pipeline
from core.month import Month, parse_months
from core.run import Receipt
from dagster_impl.defs.models import MODELS
from dagster_impl.defs.resources import Parameters
from dagster_impl.steps import failures, materialized


class Range(dg.Config):
    """The months of a run."""

    months: str


def publish(context: dg.OpExecutionContext, receipt: Receipt, schema: str, *tables: str) -> None:
    """Record that an op has made a month of some tables: the assets of these names have a history of months."""
    for name in tables:
        metadata = materialized(receipt, schema, name).metadata
        context.log_event(dg.AssetMaterialization(name, partition=receipt.month, metadata=metadata))


@dg.op(out=dg.DynamicOut(str))
def months(config: Range) -> Iterator[dg.DynamicOutput[str]]:
    """Yield each month of the range: a mapping key has no hyphen."""
    for month in parse_months(config.months):
        yield dg.DynamicOutput(str(month), mapping_key=str(month).replace("-", "_"))


@dg.op(out=dg.Out(dg.Nothing))
def ingest_zones(context: dg.OpExecutionContext, parameters: Parameters) -> None:
    """Load the lookup of the taxi zones, once for all months."""
    with failures(context):
        pipeline.ingest_zones(parameters.run(context.run_id))


@dg.op
def ingest_month(context: dg.OpExecutionContext, month: str, parameters: Parameters) -> str:
    """Fetch a month's file, and publish its rows."""
    run = parameters.run(context.run_id)
    with failures(context):
        receipt = pipeline.ingest_month(run, Month.parse(month))
    publish(context, receipt, run.schema, "raw_trips")
    return month


@dg.op(ins={"zones": dg.In(dg.Nothing)})
def transform_month(context: dg.OpExecutionContext, month: str, parameters: Parameters) -> str:
    """Run one dbt build for all the months that landed since the last one."""
    run = parameters.run(context.run_id)
    with failures(context):
        receipt = pipeline.transform(run, Month.parse(month))
    publish(context, receipt, run.schema, *(model.name for model in MODELS))
    return month


@dg.op(out=dg.Out(dg.Nothing))
def check_month(context: dg.OpExecutionContext, month: str, parameters: Parameters) -> None:
    """Fail if a month's rows broke a data test of the build."""
    with failures(context):
        receipt = pipeline.check(parameters.run(context.run_id), Month.parse(month))
    context.add_output_metadata(receipt.to_json())


@dg.job
def taxi_range() -> None:
    """Load a range of months in one run; a month that fails holds back no other."""
    # The names of ops are unique in a code location, and the assets and their checks have these two.
    transform, check = transform_month.alias("transform"), check_month.alias("check")
    zones = ingest_zones()
    months().map(lambda month: check(transform(ingest_month(month), zones=zones)))


@dg.definitions
def ranges() -> dg.Definitions:
    """Return the job."""
    return dg.Definitions(jobs=[taxi_range])
