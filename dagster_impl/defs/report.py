"""The join: a line about each month, whether its models were built or skipped, and none where a step failed."""

import dagster as dg

from core import pipeline
from core.month import Month
from dagster_impl.defs.resources import Parameters
from dagster_impl.steps import MONTHS, OWNERS, failures, metadata_of


@dg.op(ins={"model": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def checked() -> None:
    """Wait for a model and its checks: skipped with the model, and not run when a check failed."""


@dg.op(ins={"ended": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def report(context: dg.OpExecutionContext, parameters: Parameters) -> dg.Output[None]:
    """Report on the month in one line."""
    run, month = parameters.run(context.run_id), Month.parse(context.partition_key)
    built = dg.AssetRecordsFilter(asset_key=dg.AssetKey("fct_trips"), asset_partitions=[context.partition_key])
    newest = context.instance.fetch_materializations(built, limit=1).records
    # A retry leaves out what succeeded before: there are two retries at most, of the first run and of its retry.
    ours = {context.run.run_id, context.run.parent_run_id, context.run.root_run_id}
    with failures(context):
        receipt = pipeline.report(run, month, built=any(record.run_id in ours for record in newest))
    return dg.Output(None, metadata=metadata_of(receipt))


@dg.graph_asset(
    ins={name: dg.AssetIn(dagster_type=dg.Nothing) for name in ("raw_zones", "raw_trips", "daily_borough_stats")},
    partitions_def=MONTHS,
    group_name="report",
    owners=OWNERS,
)
def month_report(raw_zones, raw_trips, daily_borough_stats):  # type: ignore[no-untyped-def]
    """Report on the month in one line: rows, digest, and whether its models were built or skipped.

    A list is a fan-in, which runs when at least one of its inputs was yielded and none failed. An asset's own
    dependencies would skip it together with the models.
    """
    return report([raw_zones, raw_trips, checked(daily_borough_stats)])


JOB = dg.define_asset_job(
    "taxi_pipeline",
    description="Load one month of taxi trips, and build and check the models if anything is pending for it.",
)


@dg.definitions
def reports() -> dg.Definitions:
    """Return the report, and the job of all assets, whose backfills take a skipped model for no failure."""
    return dg.Definitions(assets=dg.with_source_code_references([month_report]), jobs=[JOB])
