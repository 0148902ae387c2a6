"""A month's record for the runner protocol, from what Prefect recorded of the month's runs."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping, Sequence

from core import errors
from core.lab.protocol import MonthRecord, TaskRecord, TaskState, month_record
from core.run import TASKS
from prefect_impl.lab.client import FINAL, Json, Prefect

SETTLE_S = {"COMPLETED": 60.0, "FAILED": 20.0, "CRASHED": 5.0, "CANCELLED": 5.0}
"""How long after a run's end its task runs may still arrive: they come from an event stream, up to 6 s late on a busy
machine. A run that fails before its first task has none, and a killed run leaves some unfinished for good."""


def attempts(prefect: Prefect, runs: Sequence[Json]) -> dict[str, dict[str, int]]:
    """Return, for each of `runs` by its id, the attempt of each step that runs or waits for its next attempt."""
    if not runs:
        return {}
    by_run: dict[str, dict[str, int]] = {run["id"]: {} for run in runs}
    under_way = {"state": {"type": {"any_": ["RUNNING", "SCHEDULED"]}}}
    tasks = prefect.filter("task_runs", {"flow_runs": {"id": {"any_": list(by_run)}}, "task_runs": under_way})
    for name, task in ((name, task) for name in TASKS for task in tasks if step(task) == name):
        by_run[task["flow_run_id"]][name] = max(1, task["run_count"])
    return by_run


def record(prefect: Prefect, runs: Sequence[Json]) -> MonthRecord | None:
    """Return what Prefect recorded of a month's `runs`, oldest first; None while more of the last one may arrive."""
    last, order = runs[-1], [run["id"] for run in runs]
    of_runs = {"flow_runs": {"id": {"any_": order}}}
    tasks = prefect.filter("task_runs", of_runs)
    of_last = [task for task in tasks if task["flow_run_id"] == last["id"]]
    tasks += unseen(runs, tasks)
    tables = prefect.filter("artifacts", {**of_runs, "artifacts": {"type": {"any_": ["table"]}}})
    if not settled(last, of_last, receipts_of(table for table in tables if table["flow_run_id"] == last["id"])):
        return None
    for recorded in (tasks, tables):
        recorded.sort(key=lambda each: order.index(each["flow_run_id"]))
    receipts = receipts_of(tables)
    records = task_records(tasks, receipts, last["state_type"] == "COMPLETED")
    return month_record(last["parameters"]["month"], records, receipts, cause(last, of_last))


def unseen(runs: Sequence[Json], tasks: Sequence[Json]) -> list[Json]:
    """Return a task run of the first step for each run that was killed before any of its task runs had been sent."""
    seen = {task["flow_run_id"] for task in tasks}
    killed = [each for each in runs if each["state_type"] == "CRASHED" and each["run_count"] and each["id"] not in seen]
    first = {"task_key": "ingest_month", "run_count": 1, "state_type": "CRASHED"}
    return [
        {**first, "flow_run_id": run["id"], "start_time": run["start_time"], "end_time": run["end_time"]}
        for run in killed
    ]


def settled(run: Json, tasks: list[Json], receipts: Mapping[str, Json]) -> bool:
    """Return whether the end of every task run of an ended `run` has arrived, or no more of them are expected.

    A step that completed has saved its receipt before its run ended, so those of the run tell which task runs to
    expect: a step that was skipped has neither. One that did not complete has also one that failed, and it always loads
    both the zones and the month.
    """
    ended = {step(task): task["state_type"] for task in tasks if task["state_type"] in FINAL}
    expected = set(receipts)
    complete = run["state_type"] == "COMPLETED"
    if not complete:
        expected |= {"ingest_zones", "ingest_month"}
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(run["end_time"])
    arrived = ended.keys() >= expected and (complete or "FAILED" in ended.values())
    return arrived or age.total_seconds() > SETTLE_S[run["state_type"]]


def receipts_of(tables: Iterable[Json]) -> dict[str, Json]:
    """Return the receipt of each step, from a month's artifacts, oldest first.

    It is the last one that reports a change, or else the last one: what a run finds unchanged after a killed run is
    what the killed run did.
    """
    receipts: dict[str, Json] = {}
    for receipt in (each for table in tables for each in json.loads(table["data"])):
        if receipt["task"] not in receipts or receipt["state"] != "unchanged":
            receipts[receipt["task"]] = receipt
    return receipts


def step(task: Json) -> str:
    """Return which step a task run is. Its key is the function's name and a hash of its source.

    Its name would not tell: Prefect adds a random suffix, and a name that the task sets is lost when its process is
    killed. The key of a call of `run_deployment` ends with the name of the flow, without a hash.
    """
    return re.sub("-[0-9a-f]{8}$", "", str(task["task_key"])).rpartition(".")[2]


def task_records(tasks: Sequence[Json], receipts: Mapping[str, Json], completed: bool) -> list[TaskRecord]:
    """Return the record of each step from a month's task runs, oldest first; none when the month has no task run.

    In a run that `completed`, every step with a receipt did, and every other one was skipped: a restart of the server
    loses task runs, which come from its event stream, and never a receipt.
    """
    if not tasks and not completed:
        return []
    tries = {name: [task for task in tasks if step(task) == name] for name in TASKS}
    return [task_record(name, tries[name], receipts.get(name, {}), completed) for name in TASKS]


def task_record(name: str, tries: Sequence[Json], receipt: Json, completed: bool = False) -> TaskRecord:
    """Return a step's record from its task runs, oldest first: the state of the last one, and the attempts of all."""
    last = tries[-1] if tries else {"state_type": "PENDING", "end_time": None}
    state: TaskState = "upstream failed" if last["state_type"] == "PENDING" else "failed"
    done = last["state_type"] == "COMPLETED" or (completed and bool(receipt))
    if done:
        state = "unchanged" if receipt.get("state") == "unchanged" else "success"
    elif completed:
        state = "skipped"
    attempts = max(sum(task["run_count"] for task in tries), int(done))
    started_at = tries[0]["start_time"] if tries else None
    return TaskRecord(name, state, attempts, started_at, last["end_time"], receipt.get("rows"))


def cause(run: Json, tasks: list[Json]) -> str | None:
    """Return why a run did not complete: the message of its first failed task, or else the run's own."""
    if run["state_type"] == "COMPLETED":
        return None
    failed = {step(task): task["state"] for task in tasks if task["state_type"] == "FAILED"}
    # `pending` is a task too, and none of the steps: after it, no other one can fail.
    state = next((failed[name] for name in (*TASKS, "pending") if name in failed), run["state"])
    return one_line(state["message"] or state["name"])


def one_line(message: str) -> str:
    """Return the exception's message in one line, after the name of its class unless that is ours: `KeyError: 'x'`."""
    _, _, raised = message.partition("run encountered an exception")
    text = " ".join((raised.lstrip(": ") or message).split())
    name, _, words = text.partition(": ")
    return words if hasattr(errors, name) else text
