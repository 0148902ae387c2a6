"""Schedules, as a person turns them on, pauses them, and lets them run for past dates."""

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

from core.errors import TriptychError, UsageError
from core.lab.protocol import ScheduleRequest, TicksRequest
from core.waiting import patiently
from dagster_impl.lab import queries
from dagster_impl.lab.backfill import repository_of
from dagster_impl.lab.client import Client
from dagster_impl.lab.services import HIDDEN_TAG_PREFIX


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
    return [launched(client, wanted.pipeline, each) for tick in ticks for each in tick["runRequests"] or []]


def launched(client: Client, job: str, asked: Mapping[str, Any]) -> str:
    """Launch the run that a tick asks for, and return its id."""
    ours = {"key": f"{HIDDEN_TAG_PREFIX}triptych-request", "value": uuid.uuid4().hex}
    params = {
        "selector": {**repository_of(client, job), "jobName": job},
        "executionMetadata": {"tags": [ours, *asked["tags"]]},
        "runConfigData": asked["runConfigYaml"],
    }

    def attempt() -> str:
        # As of a run that is started by hand: the answer to an earlier attempt may have been lost.
        if found := client.one(queries.RUNS, {"filter": {"tags": [ours]}, "limit": 1}, "Runs")["results"]:
            return str(found[0]["id"])
        return str(client.once(queries.LAUNCH_RUN, {"params": params}, "LaunchRunSuccess")["run"]["id"])

    return patiently(attempt, client.patience_s)
