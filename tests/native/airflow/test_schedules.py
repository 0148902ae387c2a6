"""Schedules: what is asked of Airflow's API, and which runs a catch-up has started."""

from __future__ import annotations

import json

import httpx

from airflow_impl.lab import schedules
from core.lab.protocol import ScheduleRequest, TicksRequest
from tests.native.airflow.api import Json, client_of

WANTED = TicksRequest("monthly", "2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z")


class Api:
    """An API server that has the runs of an older backfill; `refusals` of a new one come first."""

    def __init__(self, dates: int = 2, refusals: int = 0) -> None:
        self.dates, self.refusals = dates, refusals
        self.runs: list[Json] = [{"dag_run_id": "older", "state": "success"}]
        self.asked: list[tuple[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v2")
        self.asked.append((request.method, path))
        if path.endswith("/dry_run"):
            return httpx.Response(200, json={"backfills": [{}] * self.dates})
        if path.endswith("/dagRuns"):
            return httpx.Response(200, json={"dag_runs": self.runs})
        if (request.method, path) != ("POST", "/backfills"):
            return httpx.Response(200, json={"backfills": [{"id": 3, "created_at": "then"}]})
        assert json.loads(request.content)["reprocess_behavior"] == "none"
        if self.refusals:
            self.refusals -= 1
            return httpx.Response(409)
        self.runs = [{"dag_run_id": name, "state": "queued"} for name in ("second", "first")] + self.runs
        return httpx.Response(200, json={"id": 4})


def test_a_dag_is_paused_and_unpaused() -> None:
    sent: list[Json] = []

    def respond(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("PATCH", "/api/v2/dags/monthly")
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={})

    for active in (True, False):
        schedules.switch(client_of(respond), ScheduleRequest("monthly", active))
    assert sent == [{"is_paused": False}, {"is_paused": True}]


def test_the_new_runs_are_returned_oldest_first() -> None:
    assert schedules.catch_up(client_of(Api()), WANTED) == ["first", "second"]


def test_dates_that_have_their_runs_need_no_backfill() -> None:
    api = Api(dates=0)
    assert schedules.catch_up(client_of(api), WANTED) == []
    assert ("POST", "/backfills") not in api.asked


def test_a_backfill_that_is_over_is_closed_to_make_room() -> None:
    api = Api(refusals=1)
    assert schedules.catch_up(client_of(api), WANTED) == ["first", "second"]
    assert ("PUT", "/backfills/3/cancel") in api.asked
