"""Schedules, as a person turns them on, pauses them, and lets them run for past dates."""

from __future__ import annotations

from core.lab.protocol import ScheduleRequest, TicksRequest
from prefect_impl.lab.client import DEPLOYMENT, Json, Prefect

MOST = 1000
"""More dates than anybody asks for. Without a number the server stops at the third date, or the first after an hour."""


def switch(prefect: Prefect, wanted: ScheduleRequest) -> None:
    """Resume a deployment, or pause it. A paused one has no scheduled runs; what is started by hand runs."""
    verb = "resume_deployment" if wanted.active else "pause_deployment"
    prefect.call("POST", f"/deployments/{deployment(prefect, wanted.pipeline)['id']}/{verb}")


def catch_up(prefect: Prefect, wanted: TicksRequest) -> list[str]:
    """Let the server create the runs of past dates, which start at once; return the ids of those that it had not yet.

    A date has one run for good, by its idempotency key: whoever wants another one starts it by hand.
    """
    found = deployment(prefect, wanted.pipeline)
    known = set(of_schedule(prefect, found, wanted))
    body = {"start_time": wanted.since, "end_time": wanted.until, "min_runs": MOST, "max_runs": MOST}
    prefect.call("POST", f"/deployments/{found['id']}/schedule", body)
    return [run_id for run_id in of_schedule(prefect, found, wanted) if run_id not in known]


def deployment(prefect: Prefect, flow: str) -> Json:
    """Return the deployment of a flow."""
    found: Json = prefect.call("GET", f"/deployments/name/{flow}/{DEPLOYMENT}")
    return found


def of_schedule(prefect: Prefect, found: Json, wanted: TicksRequest) -> list[str]:
    """Return the ids of the deployment's runs for these dates, oldest first, whatever became of them."""
    dates = {"after_": wanted.since, "before_": wanted.until}
    body = {
        "deployments": {"id": {"any_": [found["id"]]}},
        "flow_runs": {"expected_start_time": dates},
        "sort": "EXPECTED_START_TIME_ASC",
    }
    return [run["id"] for run in prefect.filter("flow_runs", body) if run["auto_scheduled"]]
