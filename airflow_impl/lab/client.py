"""A client of Airflow's REST API, for as much of it as the lab needs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self
from urllib.parse import quote

import httpx

from core.errors import PermanentError, TransientError, TriptychError
from core.lab.protocol import MonthRecord
from core.month import Month
from core.waiting import PATIENCE_S, patiently

DAG = "taxi_pipeline"
FINAL = ("success", "failed")

PAGE = 1000
"""Resources of a page: as many as our setting of the API server allows."""

NOTE_LIMIT = 1000
"""The longest note that the API takes."""

Json = dict[str, Any]


class Airflow:
    """A client of one API server; a context manager. It repeats calls that are not answered for up to `patience_s`."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None, patience_s: float = PATIENCE_S) -> None:
        self.patience_s = patience_s
        # 60 s: on a machine with every core busy, a response that takes 0.02 s took up to 12 s.
        self._http = httpx.Client(base_url=f"{url}/api/v2", timeout=60, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, *also: int, **options: Any) -> httpx.Response:
        """Send a request that may be repeated; raise unless the response is a success or has a status in `also`."""
        return patiently(lambda: self.once(method, path, *also, **options), self.patience_s)

    def once(self, method: str, path: str, *also: int, **options: Any) -> httpx.Response:
        """As `call`, but raise `TransientError` at once when the server does not respond."""
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise TransientError(f"Airflow's API server at {self._http.base_url} does not answer: {error}") from error
        if not response.is_success and response.status_code not in also:
            fault = TransientError if response.is_server_error else PermanentError
            raise fault(f"Airflow refused {method} {path}: {response.status_code} {response.text[:500]}")
        return response

    def get(self, path: str, **query: Any) -> Json:
        """Return one resource."""
        resource: Json = self.call("GET", path, params=query).json()
        return resource

    def ready(self, parts: Sequence[str], dags: Sequence[str], schedulers: int = 1) -> bool:
        """Return whether all `parts` of Airflow are healthy, with so many schedulers, and all `dags` are registered.

        Raise `PermanentError` naming a file that can't be imported.
        """
        health = self.get("/monitor/health")
        if any(health[part]["status"] != "healthy" for part in parts):
            return False
        # The health of several is that of the one that has reported last.
        if (
            schedulers > 1
            and len(self.get("/jobs", job_type="SchedulerJob", is_alive=True, order_by="-id")["jobs"]) < schedulers
        ):
            return False
        if broken := self.get("/importErrors")["import_errors"]:
            cause = broken[0]["stack_trace"].strip().splitlines()[-1]
            raise PermanentError(f"Airflow can't import {broken[0]['filename']}: {cause}")
        return all(self.call("GET", f"/dags/{quote(dag)}", 404).is_success for dag in dags)

    def every(self, path: str, key: str, **query: Any) -> list[Json]:
        """Return all resources of a list, whose pages the server limits: `key` is the name of the list in a page."""
        found: list[Json] = []
        while True:
            page = self.get(path, limit=PAGE, offset=len(found), **query)
            found += page[key]
            if not page[key] or len(found) >= page["total_entries"]:
                return found

    def backfills(self, dag: str = DAG) -> list[Json]:
        """Return the DAG's newest backfills, active or not, newest first."""
        return list(self.get("/backfills", dag_id=dag, order_by="-id", limit=20)["backfills"])

    def create_backfill(self, body: Json) -> Json | None:
        """Create a backfill and return it; return None while another one of the DAG is active."""
        response = self.once("POST", "/backfills", 409, json=body)
        if response.is_success:
            backfill: Json = response.json()
            return backfill
        self.make_room(body["dag_id"])
        return None

    def cancel_backfill(self, backfill: Json) -> None:
        """Cancel a backfill; Airflow ends the runs that are still queued.

        It is paused for good then: a run of it that somebody clears stays queued.
        """
        self.call("PUT", f"/backfills/{backfill['id']}/cancel", 409)

    def make_room(self, dag: str) -> None:
        """Let the next backfill of a DAG start at once when all runs of the active one have succeeded.

        The scheduler marks a backfill that is over as completed, but only every 30 s, which no setting changes. Through
        the API only a canceled one is completed; so one with failed runs, which somebody may clear, is left to the
        scheduler.
        """
        for active in self.get("/backfills", dag_id=dag, active=True)["backfills"]:
            query = {"run_type": "backfill", "updated_at_gte": active["created_at"], "limit": PAGE}
            runs = self.get(f"/dags/{quote(dag)}/dagRuns", **query)["dag_runs"]
            # Without a run it has just been created.
            if runs and all(run["state"] == "success" for run in runs):
                self.cancel_backfill(active)

    def runs(self, months: Sequence[Month], dag: str = DAG, **query: Any) -> list[Json]:
        """Return the DAG's runs of the months from the first to the last of `months`, newest first."""
        span = {"partition_date_gte": min(months).first_day, "partition_date_lte": max(months).first_day}
        return list(self.get(f"/dags/{quote(dag)}/dagRuns", order_by="-id", limit=1000, **span, **query)["dag_runs"])

    def under_way(self, runs: Sequence[Json]) -> list[Json]:
        """Return the task instances of `runs` that run, or wait for their next attempt."""
        if not runs:
            return []
        query = {"dag_run_ids": [run["dag_run_id"] for run in runs], "state": ["running", "up_for_retry"]}
        instances = self.call("POST", "/dags/~/dagRuns/~/taskInstances/list", json=query).json()["task_instances"]
        return list(instances)

    def page(self, run: Json) -> str:
        """Return the address of a run's own page."""
        base = str(self._http.base_url).removesuffix("/").removesuffix("/api/v2")
        return f"{base}/dags/{run['dag_id']}/runs/{quote(run['dag_run_id'], safe='')}"

    def note(self, run: Json, record: MonthRecord) -> None:
        """Write why the month failed, or its warnings, into the note of its run. A task has no call for it.

        The run's page shows the first paragraph of a note at its top, and the others on request.
        """
        lines = [*filter(None, [record.error]), *(f"warning: {each}" for each in record.warnings)]
        # A person's note stays; that of a cancellation tells the run from one that failed.
        if lines and not run.get("note"):
            note = "\n\n".join(lines)[:NOTE_LIMIT]
            # The month is recorded already: a missing note must not fail it.
            with suppress(TriptychError):
                self.call("PATCH", path_of(run), json={"note": note})


def path_of(run: Json) -> str:
    """Return the path of a DAG run. Its identifier holds characters that a path must quote."""
    return f"/dags/{run['dag_id']}/dagRuns/{quote(run['dag_run_id'], safe='')}"
