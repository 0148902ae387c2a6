"""A monthly schedule in Dagster: it is made of the job's partitions."""

import dagster as dg

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")


@dg.op
def ended_month(context: dg.OpExecutionContext) -> None:
    """Load the month that is the run's partition."""
    context.add_output_metadata({"month": context.partition_key})


@dg.job(partitions_def=MONTHS)
def month_of_schedule() -> None:
    """Load a month."""
    ended_month()


defs = dg.Definitions(jobs=[month_of_schedule], schedules=[dg.build_schedule_from_partitioned_job(month_of_schedule)])
