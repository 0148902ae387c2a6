"""The month whose steps do nothing, as a partitioned job."""

import dagster as dg

from core.month import EARLIEST

AFTER = {"start": dg.In(dg.Nothing)}


@dg.op(out=dg.Out(dg.Nothing))
def ingest_zones() -> None:
    """Do nothing."""


@dg.op(out=dg.Out(dg.Nothing))
def ingest_month() -> None:
    """Do nothing."""


@dg.op(ins={"zones": dg.In(dg.Nothing), "trips": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def pending() -> None:
    """Do nothing."""


@dg.op(ins=AFTER, out=dg.Out(dg.Nothing))
def transform() -> None:
    """Do nothing."""


@dg.op(ins=AFTER, out=dg.Out(dg.Nothing))
def check() -> None:
    """Do nothing."""


@dg.op(ins=AFTER, out=dg.Out(dg.Nothing))
def report() -> None:
    """Do nothing."""


# As in the code location of the taxi pipeline, the steps of a run are calls in its process.
@dg.job(
    partitions_def=dg.MonthlyPartitionsDefinition(start_date=EARLIEST, fmt="%Y-%m"),
    executor_def=dg.in_process_executor,
)
def no_op() -> None:
    """Do nothing, in six steps."""
    report(check(transform(pending(zones=ingest_zones(), trips=ingest_month()))))


defs = dg.Definitions(jobs=[no_op])
