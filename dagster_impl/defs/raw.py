"""The tables as published: the zone lookup, and every row of every month's file."""

import dagster as dg

from core import pipeline
from core.datasets import GREEN, ZONES, Dataset
from core.month import Month
from dagster_impl.defs.resources import SCHEMA, Parameters
from dagster_impl.steps import MONTHS, OWNERS, failures, materialized, table


def _columns(dataset: Dataset) -> list[dg.TableColumn]:
    """Return the columns that the dataset declares."""
    return [
        dg.TableColumn(
            column.name,
            column.kind.postgres,
            f"Published as {column.published}." if column.published else None,
            dg.TableColumnConstraints(nullable=column.nullable),
        )
        for column in dataset.table_columns
    ]


@dg.asset(
    partitions_def=MONTHS,
    group_name="raw",
    kinds={"postgres"},
    owners=OWNERS,
    metadata=table(SCHEMA, "raw_zones", _columns(ZONES)),
)
def raw_zones(context: dg.AssetExecutionContext, parameters: Parameters) -> dg.MaterializeResult[None]:
    """The publisher's lookup of taxi zones, 265 rows, always loaded whole.

    A partition of this asset says that the run of that month made sure of the lookup.
    """
    run = parameters.run(context.run.run_id)
    with failures(context):
        receipt = pipeline.ingest_zones(run)
    return materialized(receipt, run.schema, "raw_zones")


@dg.asset(
    partitions_def=MONTHS,
    group_name="raw",
    kinds={"postgres"},
    owners=OWNERS,
    metadata=table(SCHEMA, "raw_trips", _columns(GREEN)),
)
def raw_trips(context: dg.AssetExecutionContext, parameters: Parameters) -> dg.MaterializeResult[None]:
    """Every row of a month's file as published. The partition is the month of the file, never that of a pickup."""
    run = parameters.run(context.run.run_id)
    with failures(context):
        receipt = pipeline.ingest_month(run, Month.parse(context.partition_key))
    return materialized(receipt, run.schema, "raw_trips")


@dg.definitions
def raw() -> dg.Definitions:
    """Return both assets, each with a link to its code."""
    return dg.Definitions(assets=dg.with_source_code_references([raw_zones, raw_trips]))
