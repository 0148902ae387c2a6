"""Schedules: what is asked of Dagster's web server, and which runs a catch-up launches."""

import pytest

from core.errors import TriptychError, UsageError
from core.lab.protocol import ScheduleRequest, TicksRequest
from dagster_impl.lab import schedules
from tests.native.dagster.test_runs import Json, Web

KNOWN = {
    "__typename": "Schedules",
    "results": [
        {"name": "hourly", "pipelineName": "other", "scheduleState": {"id": "s1"}},
        {"name": "each_month", "pipelineName": "monthly", "scheduleState": {"id": "s2"}},
    ],
}
WHERE = {
    "__typename": "RepositoryConnection",
    "nodes": [
        {
            "name": "dates",
            "location": {"name": "further"},
            "pipelines": [{"name": "monthly"}, {"name": "other"}, {"name": "yearly"}],
        }
    ],
}
STATE = {"__typename": "ScheduleStateResult"}
WANTED = TicksRequest("monthly", "2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z")


def ticks(*evaluations: Json) -> Json:
    results = [{"evaluationResult": {"runRequests": None, "error": None, **each}} for each in evaluations]
    return {"__typename": "Schedule", "futureTicks": {"results": results}}


def test_the_schedule_of_a_job_is_started_and_stopped() -> None:
    web = Web(REPOSITORIES=[WHERE], SCHEDULES=[KNOWN], START_SCHEDULE=[STATE], STOP_SCHEDULE=[STATE])
    for active in (True, False):
        schedules.switch(web.client(), ScheduleRequest("monthly", active))
    sent = dict(web.asked)
    assert sent["START_SCHEDULE"]["schedule"]["scheduleName"] == "each_month"
    assert sent["STOP_SCHEDULE"] == {"id": "s2"}


def test_a_job_without_a_schedule_is_refused() -> None:
    with pytest.raises(UsageError, match="yearly has no schedule"):
        schedules.switch(Web(REPOSITORIES=[WHERE], SCHEDULES=[KNOWN]).client(), ScheduleRequest("yearly", True))


def test_what_each_past_tick_asks_for_is_launched() -> None:
    request = {"runConfigYaml": "{}", "tags": [{"key": "dagster/partition", "value": "2024-04"}]}
    launched = [{"__typename": "LaunchRunSuccess", "run": {"id": "r1"}}]
    web = Web(
        REPOSITORIES=[WHERE],
        SCHEDULES=[KNOWN],
        PAST_TICKS=[ticks({"runRequests": [request]}, {})],
        RUNS=[{"__typename": "Runs", "results": []}],
        LAUNCH_RUN=launched,
    )
    assert schedules.catch_up(web.client(), WANTED) == ["r1"]
    sent = dict(web.asked)
    # The end is one of the dates, and Dagster leaves it out.
    assert sent["PAST_TICKS"]["until"] - sent["PAST_TICKS"]["since"] == 31 * 24 * 3600 + 1
    params = sent["LAUNCH_RUN"]["params"]
    assert (params["selector"]["repositoryName"], params["selector"]["jobName"]) == ("dates", "monthly")
    assert request["tags"][0] in params["executionMetadata"]["tags"]


def test_a_tick_that_can_not_be_evaluated_is_an_error() -> None:
    web = Web(REPOSITORIES=[WHERE], SCHEDULES=[KNOWN], PAST_TICKS=[ticks({"error": {"message": "broken"}})])
    with pytest.raises(TriptychError, match="broken"):
        schedules.catch_up(web.client(), WANTED)
