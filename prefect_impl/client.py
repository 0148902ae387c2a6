"""Prefect's REST API, as far as a backfill needs it.

Not Prefect's own client: importing it costs 2 CPU seconds for each call of the runner, as much as a month's work.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, Self

import httpx

from core import errors
from core.contract import TASKS, MonthRecord, TaskRecord, TaskState, month_record
from core.errors import PermanentError, TransientError

POOL = "triptych"
DEPLOYMENTS = ("backfill/triptych", "taxi_pipeline/triptych")
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")

PAGE = 200
"""The most that the server gives at once."""

SETTLE_S = {"COMPLETED": 60.0, "FAILED": 20.0, "CRASHED": 5.0, "CANCELLED": 5.0}
"""How long after a run its task runs may still be on their way: they come from an event stream, up to 6 s late on a
busy machine. A run that fails before its first task never has any, and a killed one leaves some unfinished for good."""

Json = dict[str, Any]


class Prefect:
    """A client of one server; a context manager."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        # 60 s: with every core busy, answers of 0.02 s took several seconds
        self._http = httpx.Client(base_url=f"{url}/api", timeout=60, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, body: Json | None = None) -> Any:
        """Send a request and decode the answer; raise unless it is a success."""
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise TransientError(f"Prefect's server at {self._http.base_url} does not answer: {error!r}") from error
        if not answer.is_success:
            fault = TransientError if answer.is_server_error else PermanentError
            raise fault(f"Prefect refused {method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def filter(self, kind: str, body: Json) -> list[Json]:
        """All objects of a kind that a filter matches."""
        found: list[Json] = []
        while True:
            page = self.call("POST", f"/{kind}/filter", {**body, "limit": PAGE, "offset": len(found)})
            found += page
            if len(page) < PAGE:
                return found

    def ready(self) -> bool:
        """Whether a worker is online and both deployments are there."""
        workers = self.filter(f"work_pools/{POOL}/workers", {"workers": {"status": {"any_": ["ONLINE"]}}})
        deployments = self.filter("deployments", {"work_pools": {"name": {"any_": [POOL]}}})
        return bool(workers) and len(deployments) == len(DEPLOYMENTS)

    def start_backfill(self, parameters: Json) -> str:
        """Make a run of the deployment `backfill`; give its id."""
        deployment = self.call("GET", "/deployments/name/backfill/triptych")
        run: Json = self.call("POST", f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})
        return str(run["id"])

    def state(self, run_id: str) -> Json:
        """The state of a flow run: type, name, message."""
        state: Json = self.call("GET", f"/flow_runs/{run_id}")["state"]
        return state

    def cancel(self, run_id: str) -> None:
        """Ask for the end of a backfill. The server then cancels the months that it has started, within 20 s."""
        self.call("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}})

    def months_of(self, backfill_id: str) -> dict[str, Json]:
        """The newest run of each month that a backfill has made so far, by month."""
        body = {"flow_runs": {"parent_flow_run_id": {"any_": [backfill_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return {run["parameters"]["month"]: run for run in self.filter("flow_runs", body)}

    def record(self, run: Json) -> MonthRecord | None:
        """What Prefect recorded of a month's run that is over; None while its task runs are still on their way."""
        of_run = {"flow_runs": {"id": {"any_": [run["id"]]}}}
        tasks = self.filter("task_runs", of_run)
        if not settled(run, tasks):
            return None
        tables = self.filter("artifacts", {**of_run, "artifacts": {"type": {"any_": ["table"]}}})
        receipts = {receipt["task"]: receipt for table in tables for receipt in json.loads(table["data"])}
        records = [task_record(task, receipts.get(step(task), {})) for task in tasks]
        return month_record(run["parameters"]["month"], records, receipts, cause(run, tasks))


def settled(run: Json, tasks: list[Json]) -> bool:
    """Whether all four task runs have reached their end, or no more news of them is to be hoped for."""
    ended = [task for task in tasks if task["state_type"] in FINAL or task["state_name"] == "NotReady"]
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(run["end_time"])
    return len(ended) == len(TASKS) or age.total_seconds() > SETTLE_S[run["state_type"]]


def step(task: Json) -> str:
    """Which of the four a task run is: its key is the function's name and a hash of its source.

    Not its name: Prefect adds a random suffix to it, and one that the task sets is not kept when its process is killed.
    """
    return str(task["task_key"]).rpartition("-")[0]


def task_record(task: Json, receipt: Json) -> TaskRecord:
    """One task run as the contract has it. NotReady: a task that it waits for failed, so it stays pending for good."""
    state: TaskState = "skipped" if task["state_type"] == "PENDING" else "failed"
    if task["state_type"] == "COMPLETED":
        state = "unchanged" if receipt.get("state") == "unchanged" else "success"
    return TaskRecord(step(task), state, task["run_count"], task["start_time"], task["end_time"], receipt.get("rows"))


def cause(run: Json, tasks: list[Json]) -> str | None:
    """Why a run did not complete: what its first failed task says, or the run itself if it was killed or cancelled."""
    if run["state_type"] == "COMPLETED":
        return None
    failed = {step(task): task["state"] for task in tasks if task["state_type"] == "FAILED"}
    state = next((failed[name] for name in TASKS if name in failed), run["state"])
    return one_line(state["message"] or state["name"])


def one_line(message: str) -> str:
    """The exception's own words. An error of ours says it all; that of a bug needs its name: `KeyError: 'rows'`."""
    _, _, raised = message.partition("run encountered an exception")
    text = " ".join((raised.lstrip(": ") or message).split())
    name, _, words = text.partition(": ")
    return words if hasattr(errors, name) else text
