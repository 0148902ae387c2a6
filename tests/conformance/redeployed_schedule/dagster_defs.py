"""A schedule in Dagster: it is deployed with its code location."""

import datetime as dt

import dagster as dg

from tests.conformance.redeployed_schedule import work


class Tick(dg.Config):
    """What a run is for."""

    tick: str


@dg.op
def load_tick(config: Tick) -> None:
    """Load a tick."""
    work.load(dt.datetime.fromisoformat(config.tick))


@dg.job
def redeployed_schedule() -> None:
    """Load a tick."""
    load_tick()


# The shortest that a schedule of Dagster can be.
@dg.schedule(job=redeployed_schedule, cron_schedule="* * * * *")
def every_minute(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for a run at each tick."""
    tick = Tick(tick=context.scheduled_execution_time.isoformat())
    return dg.RunRequest(run_config=dg.RunConfig(ops={"load_tick": tick}))


defs = dg.Definitions(jobs=[redeployed_schedule], schedules=[every_minute])
