"""The tables as published: the zone lookup, and every row of every month's file."""

import dagster as dg

from core import pipeline
from core.month import Month
from dagster_impl.defs.resources import Parameters
from dagster_impl.steps import MONTHS, ONE_MONTH, RETRY, failures, materialized


@dg.asset(partitions_def=MONTHS, backfill_policy=ONE_MONTH, retry_policy=RETRY, group_name="raw", kinds={"postgres"})
def raw_zones(context: dg.AssetExecutionContext, parameters: Parameters) -> dg.MaterializeResult[None]:
    """The zone lookup, 265 rows, always loaded whole. Its partition says for which month's run it was made sure of."""
    with failures():
        receipt = pipeline.ingest_zones(parameters.run(context.run.run_id))
    return materialized(receipt, "raw_zones")


@dg.asset(partitions_def=MONTHS, backfill_policy=ONE_MONTH, retry_policy=RETRY, group_name="raw", kinds={"postgres"})
def raw_trips(context: dg.AssetExecutionContext, parameters: Parameters) -> dg.MaterializeResult[None]:
    """Every row of a month's file as published. The partition is the file's month, never the pickup's."""
    with failures():
        receipt = pipeline.ingest_month(parameters.run(context.run.run_id), Month.parse(context.partition_key))
    return materialized(receipt, "raw_trips")
