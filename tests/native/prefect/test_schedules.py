"""Schedules: what is asked of Prefect's server, and which runs a catch-up has created."""

from __future__ import annotations

import asyncio
import datetime as dt
import json

import httpx
import pytest
from prefect.server.schemas.schedules import CronSchedule

from core.lab.protocol import ScheduleRequest, TicksRequest
from prefect_impl.lab import schedules
from prefect_impl.lab.client import Json, Prefect


class Server:
    """A server with one deployment, which had a run by hand and one of its schedule."""

    def __init__(self) -> None:
        self.runs: list[Json] = [{"id": "hand", "auto_scheduled": False}, {"id": "old", "auto_scheduled": True}]
        self.sent: list[tuple[str, Json]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.path.removeprefix("/api"), json.loads(request.content or "null")
        self.sent.append((path, body))
        if path == "/deployments/name/monthly/triptych":
            return httpx.Response(200, json={"id": "d"})
        if path == "/deployments/d/schedule":
            self.runs += [{"id": name, "auto_scheduled": True} for name in ("first", "second")]
        return httpx.Response(200, json=self.runs if path.endswith("/filter") else None)

    def client(self) -> Prefect:
        return Prefect("http://127.0.0.1:1", httpx.MockTransport(self), 0)


def test_a_deployment_is_resumed_and_paused() -> None:
    server = Server()
    for active in (True, False):
        schedules.switch(server.client(), ScheduleRequest("monthly", active))
    assert [path.rpartition("/")[2] for path, _ in server.sent if path.startswith("/deployments/d/")] == [
        "resume_deployment",
        "pause_deployment",
    ]


def test_the_new_runs_of_the_schedule_are_returned() -> None:
    server = Server()
    wanted = TicksRequest("monthly", "2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z")
    assert schedules.catch_up(server.client(), wanted) == ["first", "second"]
    (asked,) = (body for path, body in server.sent if path == "/deployments/d/schedule")
    # Without them, the server stops at the third date.
    assert asked["min_runs"] == asked["max_runs"] == schedules.MOST


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_cron_schedule_has_dates_with_the_packages_that_are_pinned(zone: str) -> None:
    """With whenever 0.10.5, which Prefect accepts, the server raised ValueError for each on Python 3.11."""
    schedule = CronSchedule(cron="0 0 1 * *", timezone=zone)
    first = dt.datetime(2024, 4, 2, tzinfo=dt.UTC)
    (date,) = asyncio.run(schedule.get_dates(1, start=first))
    assert (date.month, date.day, date.hour) == (5, 1, 0)
