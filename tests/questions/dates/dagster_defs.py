"""The question's jobs and schedules. A schedule is stopped until the lab starts it, as any is by default."""

import datetime as dt

import dagster as dg

from core.errors import TriptychError
from tests.questions.dates import work

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")
"""The last one is the last complete month (UTC); a run of the month that has begun is refused."""


@dg.op
def month_key(context: dg.OpExecutionContext) -> None:
    """Do a month's work: the month is the run's partition, whoever started the run."""
    month = context.partition_key if context.has_partition_key else None
    try:
        context.add_output_metadata({"month": work.checked(month)})
    except TriptychError as error:
        raise dg.Failure(str(error), allow_retries=False) from None


@dg.job(partitions_def=MONTHS)
def monthly() -> None:
    month_key()


# The tick of 1 May asks for April: the last partition that is complete by then.
each_month = dg.build_schedule_from_partitioned_job(monthly)


@dg.op
def interval_month(context: dg.OpExecutionContext) -> None:
    """Do a month's work: the month in which the window of the run's partition begins."""
    window = context.partition_time_window
    context.add_output_metadata({"date": f"{window.end:%Y-%m}", "month": f"{window.start:%Y-%m}"})


@dg.job(partitions_def=MONTHS)
def by_interval() -> None:
    interval_month()


each_interval = dg.build_schedule_from_partitioned_job(by_interval)


class Tick(dg.Config):
    """The instant that a run is for. An op does not see it: the schedule passes it on."""

    at: str = ""


@dg.op
def tick(context: dg.OpExecutionContext, config: Tick) -> None:
    """Report the instant that the run is for."""
    context.add_output_metadata({"at": config.at})


@dg.config_mapping
def at_tick(config: Tick) -> dg.RunConfig:
    """Return the run config of a job of which `tick` is the only op."""
    return dg.RunConfig(ops={"tick": config})


@dg.job(config=at_tick)
def clock() -> None:
    tick()


@dg.job(config=at_tick)
def spring() -> None:
    tick()


@dg.job(config=at_tick)
def autumn() -> None:
    tick()


def asked(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Return the run of a tick."""
    return dg.RunRequest(run_config={"at": context.scheduled_execution_time.isoformat()})


NEW_YORK = "America/New_York"
every_minute = dg.schedule(job=clock, cron_schedule="* * * * *", name="every_minute")(asked)
at_half_past_two = dg.schedule(
    job=spring, cron_schedule="30 2 * * *", execution_timezone=NEW_YORK, name="at_half_past_two"
)(asked)
at_half_past_one = dg.schedule(
    job=autumn, cron_schedule="30 1 * * *", execution_timezone=NEW_YORK, name="at_half_past_one"
)(asked)


TOKYO_MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m", timezone="Asia/Tokyo")


@dg.op
def tokyo_month(context: dg.OpExecutionContext) -> None:
    """Report the month, and what the instant at which it ended would say of it. That has the zone of the partitions."""
    ended = context.partition_time_window.end
    context.add_output_metadata({"month": context.partition_key, "by the date as it comes": work.month_before(ended)})


@dg.job(partitions_def=TOKYO_MONTHS)
def tokyo() -> None:
    tokyo_month()


each_month_in_tokyo = dg.build_schedule_from_partitioned_job(tokyo)


class Publisher(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """Where the files are."""

    url: str


# Its run holds a process and a slot until the file is there. A sensor that asks for the run only then holds neither,
# and it is what an expert writes when a month is late by weeks.
@dg.op
def fetch_published(context: dg.OpExecutionContext, parameters: Publisher) -> None:
    """Wait for the month's file: another attempt every five seconds."""
    if not work.is_published(parameters.url, context.partition_key):
        raise dg.RetryRequested(max_retries=10_000, seconds_to_wait=5)
    context.add_output_metadata({"month": context.partition_key})


@dg.job(partitions_def=MONTHS, resource_defs={"parameters": Publisher.configure_at_launch()})
def not_yet() -> None:
    fetch_published()


@dg.op
def load_latest(context: dg.OpExecutionContext, config: Tick) -> None:
    """Load the three months before the tick, those that are late or were published again among them."""
    context.add_output_metadata(work.load(work.months_before(dt.datetime.fromisoformat(config.at), 3), "dagster"))


@dg.config_mapping
def before(config: Tick) -> dg.RunConfig:
    """Return the run config of `latest`."""
    return dg.RunConfig(ops={"load_latest": config})


@dg.job(config=before)
def latest() -> None:
    load_latest()


on_the_first = dg.schedule(job=latest, cron_schedule="0 0 1 * *", name="on_the_first")(asked)

defs = dg.Definitions(
    jobs=[monthly, by_interval, clock, spring, autumn, tokyo, not_yet, latest],
    schedules=[
        each_month, each_interval, every_minute, at_half_past_two, at_half_past_one, each_month_in_tokyo, on_the_first,
    ],
)  # fmt: skip
