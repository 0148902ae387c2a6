"""A backfill in Dagster, of a job whose schedule is stopped."""

import dagster as dg

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")


@dg.op
def load_month(context: dg.OpExecutionContext) -> None:
    """Load the month that is the run's partition."""
    context.log.info("load %s", context.partition_key)


@dg.job(partitions_def=MONTHS)
def paused_backfill() -> None:
    """Load a month."""
    load_month()


monthly = dg.build_schedule_from_partitioned_job(paused_backfill, default_status=dg.DefaultScheduleStatus.STOPPED)

defs = dg.Definitions(jobs=[paused_backfill], schedules=[monthly])
