"""Airflow's REST API, as far as a backfill of `taxi_pipeline` needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

NOTE_LIMIT = 1000
"""The longest note that the API takes."""

Json = dict[str, Any]


class Airflow:
    """A client of one API server; a context manager. It bears with a server that does not answer for `patience_s`."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None, patience_s: float = PATIENCE_S) -> None:
        self.patience_s = patience_s
        # 60 s: on a machine with every core busy an answer of 0.02 s took up to 12 s
        self._http = httpx.Client(base_url=f"{url}/api/v2", timeout=60, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, *also: int, **options: Any) -> httpx.Response:
        """Send a request that may be repeated; raise unless the answer is a success or one of the codes in `also`."""
        return patiently(lambda: self.once(method, path, *also, **options), self.patience_s)

    def once(self, method: str, path: str, *also: int, **options: Any) -> httpx.Response:
        """As `call`, but raise `TransientError` at once when the server does not answer."""
        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise TransientError(f"Airflow's API server at {self._http.base_url} does not answer: {error}") from error
        if not answer.is_success and answer.status_code not in also:
            fault = TransientError if answer.is_server_error else PermanentError
            raise fault(f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer

    def get(self, path: str, **query: Any) -> Json:
        """Read one resource."""
        answer: Json = self.call("GET", path, params=query).json()
        return answer

    def ready(self) -> bool:
        """Whether scheduler and DAG processor beat and the DAG is there; raise `PermanentError` if it can't be imported."""
        health = self.get("/monitor/health")
        if any(health[part]["status"] != "healthy" for part in ("metadatabase", "scheduler", "dag_processor")):
            return False
        if broken := self.get("/importErrors")["import_errors"]:
            raise PermanentError(f"Airflow can't import the DAG: {broken[0]['stack_trace'].strip().splitlines()[-1]}")
        return self.call("GET", f"/dags/{DAG}", 404).is_success

    def start_backfill(self, months: Sequence[Month], jobs: int, conf: Mapping[str, Any]) -> Json | None:
        """Ask for a run of each month, `jobs` at a time; None while others are at work on the DAG or on these months.

        `months` are contiguous, forwards or backwards. Airflow has one active backfill for a DAG at a time (409), and
        makes no run of a partition whose newest run is not over. With ``completed`` it makes a new run, with this
        `conf`, beside the ones that are over; it never changes those.

        An attempt whose answer was lost may have been heard: the backfill that it made is newer than all known before.
        """
        if self.runs(months, state=["queued", "running"]):
            return None
        known = [one["id"] for one in self.newest_backfills()]
        body = {
            "dag_id": DAG,
            "from_date": f"{min(months).first_day}T00:00:00Z",
            "to_date": f"{max(months).first_day}T00:00:00Z",
            "run_backwards": months[0] > months[-1],
            "max_active_runs": jobs,
            "reprocess_behavior": "completed",
            "dag_run_conf": dict(conf),
        }

        def ask() -> Json | None:
            made = [one for one in self.newest_backfills() if one["id"] not in known]
            if ours := [one for one in made if one["dag_run_conf"] == body["dag_run_conf"]]:
                return ours[0]
            answer = self.once("POST", "/backfills", 409, json=body)
            return answer.json() if answer.is_success else None

        return patiently(ask, self.patience_s)

    def newest_backfills(self) -> list[Json]:
        """The DAG's newest backfills, active or not."""
        return list(self.get("/backfills", dag_id=DAG, order_by="-id", limit=20)["backfills"])

    def close_backfill(self, backfill: Json) -> None:
        """Mark it completed, so that the next can start; end its queued runs, if any.

        The scheduler marks it too, but looks every 30 s, which no setting changes.
        """
        self.call("PUT", f"/backfills/{backfill['id']}/cancel", 409)

    def note(self, run: Json, record: MonthRecord) -> None:
        """Write the month's warnings on the run's page, as its note, if the API lets us. No task can: it has no such call."""
        if record.warnings:
            note = "\n\n".join([record.summary, *record.warnings])[:NOTE_LIMIT]
            with suppress(TriptychError):  # the month is recorded: a note that is missing must not fail it
                self.call("PATCH", f"/dags/{DAG}/dagRuns/{quote(run['dag_run_id'], safe='')}", json={"note": note})

    def runs(self, months: Sequence[Month], **query: Any) -> list[Json]:
        """The DAG's runs of the months from the first to the last of `months`, newest first."""
        span = {"partition_date_gte": min(months).first_day, "partition_date_lte": max(months).first_day}
        answer = self.get(f"/dags/{DAG}/dagRuns", order_by="-id", limit=1000, **span, **query)
        return list(answer["dag_runs"])

    def runs_of(self, backfill: Json, months: Sequence[Month]) -> dict[Month, Json]:
        """The runs that `backfill` made, by month. A run does not name its backfill: it is one touched since."""
        since = {"run_type": "backfill", "updated_at_gte": backfill["created_at"]}
        runs = [run for run in self.runs(months, **since) if run["conf"] == backfill["dag_run_conf"]]
        return {Month.parse(run["partition_key"]): run for run in reversed(runs)}
