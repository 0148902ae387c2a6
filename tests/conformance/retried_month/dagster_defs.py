"""An automatic retry in Dagster: a job says by tags how often its runs are retried, also when an op has failed."""

import dagster as dg

from tests.conformance.retried_month import work

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")

# The setting `run_retries` is on; without the second tag it is about lost processes only.
ONCE = {"dagster/max_retries": "1", "dagster/retry_on_asset_or_op_failure": "true"}


@dg.op
def load_once_more(context: dg.OpExecutionContext) -> None:
    """Load the month that is the run's partition."""
    work.load(context.partition_key)


@dg.job(partitions_def=MONTHS, tags=ONCE)
def retried_month() -> None:
    """Load a month."""
    load_once_more()


defs = dg.Definitions(jobs=[retried_month])
