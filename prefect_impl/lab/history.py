"""From what Prefect recorded of a month's runs to the record of the runner contract."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence

from core import errors
from core.lab.protocol import MonthRecord, TaskRecord, TaskState, month_record
from core.run import TASKS
from prefect_impl.lab.client import FINAL, Json, Prefect

SETTLE_S = {"COMPLETED": 60.0, "FAILED": 20.0, "CRASHED": 5.0, "CANCELLED": 5.0}
"""How long after a run its task runs may still be on their way: they come from an event stream, up to 6 s late on a
busy machine. A run that fails before its first task never has any, and a killed one leaves some unfinished for good."""


def record(prefect: Prefect, runs: Sequence[Json]) -> MonthRecord | None:
    """What Prefect recorded of a month's runs, oldest first; None while task runs of the last one are on their way."""
    last, order = runs[-1], [run["id"] for run in runs]
    of_runs = {"flow_runs": {"id": {"any_": order}}}
    tasks = sorted(prefect.filter("task_runs", of_runs), key=lambda task: order.index(task["flow_run_id"]))
    of_last = [task for task in tasks if task["flow_run_id"] == last["id"]]
    if not settled(last, of_last):
        return None
    tables = prefect.filter("artifacts", {**of_runs, "artifacts": {"type": {"any_": ["table"]}}})
    tables.sort(key=lambda table: order.index(table["flow_run_id"]))
    receipts = receipts_of(tables)
    tries = {name: [task for task in tasks if step(task) == name] for name in TASKS}
    completed = last["state_type"] == "COMPLETED"
    records = [
        task_record(name, tries[name], receipts.get(name, {}), completed) for name in TASKS if tries[name] or completed
    ]
    return month_record(last["parameters"]["month"], records, receipts, cause(last, of_last))


def receipts_of(tables: Sequence[Json]) -> dict[str, Json]:
    """The receipts in a month's artifacts, oldest first, by step: the last one that says of a change, or else the last one."""
    receipts: dict[str, Json] = {}
    for receipt in (each for table in tables for each in json.loads(table["data"])):
        # what a run finds unchanged after a killed one is what the killed one did
        if receipt["task"] not in receipts or receipt["state"] != "unchanged":
            receipts[receipt["task"]] = receipt
    return receipts


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


def task_record(name: str, tries: Sequence[Json], receipt: Json, completed: bool = False) -> TaskRecord:
    """A step's task runs, oldest first, as the contract has them: the last one's state, and the attempts of all.

    NotReady: a task that it waits for failed, so it stays pending for good. In a run that `completed` every step did:
    a restart of the server loses what the event stream says of its task runs, and never the receipt.
    """
    last = tries[-1] if tries else {"state_type": "PENDING", "end_time": None}
    state: TaskState = "skipped" if last["state_type"] == "PENDING" else "failed"
    if completed or last["state_type"] == "COMPLETED":
        state = "unchanged" if receipt.get("state") == "unchanged" else "success"
    attempts = max(sum(task["run_count"] for task in tries), int(completed))
    return TaskRecord(
        name, state, attempts, tries[0]["start_time"] if tries else None, last["end_time"], receipt.get("rows")
    )


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
