"""Schedules, as a person turns them on, pauses them, and lets them run for past dates."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from core.errors import TriptychError, UsageError
from core.lab.protocol import ScheduleRequest, TicksRequest
from dagster_impl.lab import queries
from dagster_impl.lab.backfill import repository_of
from dagster_impl.lab.client import Client
from dagster_impl.lab.launching import launched


def switch(client: Client, wanted: ScheduleRequest) -> None:
    """Start or stop the schedule of a job."""
    schedule = schedule_of(client, wanted.pipeline)
    if wanted.active:
        client.one(queries.START_SCHEDULE, {"schedule": schedule["selector"]}, "ScheduleStateResult")
    else:
        client.one(queries.STOP_SCHEDULE, {"id": schedule["scheduleState"]["id"]}, "ScheduleStateResult")


def schedule_of(client: Client, job: str) -> Mapping[str, Any]:
    """Return the schedule of a job, and the `selector` that names it; raise `UsageError` when there is none."""
    repository = repository_of(client, job)
    for each in client.one(queries.SCHEDULES, {"repository": repository}, "Schedules")["results"]:
        if each["pipelineName"] == job:
            return {**each, "selector": {**repository, "scheduleName": each["name"]}}
    raise UsageError(f"{job} has no schedule")


def catch_up(client: Client, wanted: TicksRequest) -> list[str]:
    """Evaluate a schedule at each of its past ticks, and launch the runs that it asks for; return their ids.

    This is the page's "Test schedule", once for each tick. A daemon evaluates no tick from before a schedule was
    started.
    """
    since, end = (dt.datetime.fromisoformat(text).timestamp() for text in (wanted.since, wanted.until))
    # Of the ticks, the first may be the cursor, and none is at the end.
    schedule = schedule_of(client, wanted.pipeline)
    variables = {"schedule": schedule["selector"], "since": since, "until": end + 1}
    answer = client.one(queries.PAST_TICKS, variables, "Schedule")
    ticks = [tick["evaluationResult"] for tick in answer["futureTicks"]["results"]]
    for tick in ticks:
        if tick["error"]:
            raise TriptychError(f"Dagster can't evaluate the schedule: {tick['error']['message']}")
    job = {**repository_of(client, wanted.pipeline), "jobName": wanted.pipeline}
    asked = [each for tick in ticks for each in tick["runRequests"] or []]
    return [launched(client, job, each["tags"], each["runConfigYaml"]) for each in asked]
