"""Prefect's REST API, as far as backfills and single runs need it.

This is not Prefect's own client: importing that costs 2 CPU seconds in each call of the runner, as much as a month's
work.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Any, Self

import httpx

from core.errors import PermanentError, TransientError
from core.waiting import PATIENCE_S, patiently

POOL = "triptych"
DEPLOYMENT = "triptych"
"""The name of each flow's deployment."""
DEPLOYMENTS = (f"backfill/{DEPLOYMENT}", f"taxi_pipeline/{DEPLOYMENT}", f"taxi_range/{DEPLOYMENT}")
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

PAGE = 200
"""The most objects that the server returns at once."""

Json = dict[str, Any]


class Prefect:
    """A client of one server, and a context manager. It repeats a call that is not answered, for up to `patience_s`."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None, patience_s: float = PATIENCE_S) -> None:
        self.patience_s = patience_s
        # 60 s: with every core busy, answers that take 0.02 s took several seconds.
        self._http = httpx.Client(base_url=f"{url}/api", timeout=60, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Json | None = None) -> Any:
        """Send a request that may be repeated, and return the decoded answer; raise unless it is a success."""
        return patiently(lambda: self._once(method, path, body), self.patience_s)

    def find(self, path: str) -> Json | None:
        """Return the object at `path`, whose last part is its id; None when there is none."""
        # 422: it is no id at all.
        found: Json | None = patiently(lambda: self._once("GET", path, None, 404, 422), self.patience_s)
        return found

    def _once(self, method: str, path: str, body: Json | None, *none: int) -> Any:
        """Send a request; return None for a status of `none`."""
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise TransientError(f"Prefect's server at {self._http.base_url} does not answer: {error!r}") from error
        if answer.status_code in none:
            return None
        if not answer.is_success:
            fault = TransientError if answer.is_server_error else PermanentError
            raise fault(f"Prefect refused {method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def filter(self, kind: str, body: Json, most: float = math.inf) -> list[Json]:
        """Return the objects of a kind that the filter `body` matches: all of them, or the first `most`."""
        objects: list[Json] = []
        while True:
            limit = min(PAGE, most - len(objects))
            page = self.call("POST", f"/{kind}/filter", {**body, "limit": limit, "offset": len(objects)})
            objects += page
            if len(page) < limit or len(objects) == most:
                return objects

    def ready(self, further: Sequence[str] = (), workers: int = 1) -> bool:
        """Return whether so many workers are online and the deployments exist: ours, and those of `further` flows."""
        online = self.filter(f"work_pools/{POOL}/workers", {"workers": {"status": {"any_": ["ONLINE"]}}})
        flows = [*(each.partition("/")[0] for each in DEPLOYMENTS), *further]
        body = {"flows": {"name": {"any_": flows}}, "deployments": {"name": {"any_": [DEPLOYMENT]}}}
        return len(online) >= workers and len(self.filter("deployments", body)) == len(flows)

    def start(self, flow: str, parameters: Json, at: str | None = None) -> str:
        """Create a run of the flow's deployment, for now or for the instant `at`; return its id."""
        deployment = self.call("GET", f"/deployments/name/{flow}/{DEPLOYMENT}")
        # An attempt whose answer was lost may have created the run; by the key the next attempt finds it.
        body: Json = {"parameters": parameters, "idempotency_key": uuid.uuid4().hex}
        if at:
            body["state"] = {"type": "SCHEDULED", "state_details": {"scheduled_time": at}}
        run: Json = self.call("POST", f"/deployments/{deployment['id']}/create_flow_run", body)
        return str(run["id"])

    def page(self, run_id: str) -> str:
        """Return the address of a run's own page."""
        return str(self._http.base_url).removesuffix("/").removesuffix("/api") + f"/runs/flow-run/{run_id}"

    def state(self, run_id: str) -> Json:
        """Return the state of a flow run: type, name, and message."""
        state: Json = self.call("GET", f"/flow_runs/{run_id}")["state"]
        return state

    def cancel(self, run_id: str) -> None:
        """Cancel a run. Its worker ends it, and the server cancels the runs that it has started, within 20 s."""
        self.call("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}})

    def retry(self, run_id: str) -> None:
        """Have a run that has ended run again, under the same id: every task that has kept no result is called."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry"}
        self.call("POST", f"/flow_runs/{run_id}/set_state", {"state": state})

    def delete(self, run_id: str) -> None:
        """Delete a run with its task runs. The artifacts that it created stay."""
        self.call("DELETE", f"/flow_runs/{run_id}")

    def months_of(self, backfill_id: str) -> dict[str, list[Json]]:
        """Return a backfill's runs so far by month, oldest first: a month has several when a process was killed."""
        body = {"flow_runs": {"parent_flow_run_id": {"any_": [backfill_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        months: dict[str, list[Json]] = {}
        for run in self.filter("flow_runs", body):
            months.setdefault(run["parameters"]["month"], []).append(run)
        return months
