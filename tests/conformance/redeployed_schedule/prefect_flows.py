"""A schedule in Prefect: it is part of a deployment, and the server creates the runs of its next ticks."""

from __future__ import annotations

import datetime as dt
import time

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Interval
from prefect.types.entrypoint import EntrypointType

from tests.conformance.redeployed_schedule import work
from tests.conformance.redeployed_schedule.pipelines import PACE_S


@task(cache_policy=NO_CACHE)
def load_tick(tick: dt.datetime) -> None:
    """Load a tick."""
    work.load(tick)


@flow(name="redeployed_schedule")
def redeployed_schedule() -> None:
    """Load the tick of the run."""
    load_tick(runtime.flow_run.scheduled_start_time)


EVERY = Interval(30, anchor_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC))


@flow(name="redeployed_schedule_deploy")
def redeployed_schedule_deploy(times: int) -> None:
    """Deploy the schedule, again and again."""
    for _ in range(times):
        deployment = redeployed_schedule.to_deployment(
            "triptych",
            schedule=EVERY,
            work_pool_name="triptych",
            work_queue_name="further",
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        assert isinstance(deployment, RunnerDeployment)
        deployment.apply()
        time.sleep(PACE_S)


# Without a schedule: the other cases run on the same services.
deployments = [redeployed_schedule.to_deployment("triptych"), redeployed_schedule_deploy.to_deployment("triptych")]
