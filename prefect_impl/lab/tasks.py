"""The tasks of a run of any pipeline, in the words of the runner protocol, from what the server recorded."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.lab.protocol import TAXI_PIPELINE, TAXI_RANGE, Pipeline, TaskRecord, TaskState, further
from prefect_impl.lab import history
from prefect_impl.lab.client import FINAL, Json

STATES: dict[str, TaskState] = {
    "SCHEDULED": "queued", "PENDING": "queued", "RUNNING": "running", "PAUSED": "running", "CANCELLING": "running",
    "COMPLETED": "success", "FAILED": "failed", "CRASHED": "failed", "CANCELLED": "canceled",
}  # fmt: skip
"""What each type of state is called in the protocol."""

NAMED: dict[str, TaskState] = {
    "Skipped": "skipped", "UpstreamFailed": "upstream failed", "NotReady": "upstream failed",
}  # fmt: skip
"""What a state is called whose name says more than its type. `NotReady`, of type PENDING, is Prefect's own: the task
waited for one that failed. It is never final. The two others are what a flow names a state of its own."""

LATE_S = {"COMPLETED": 60.0, "FAILED": 60.0, "CRASHED": 5.0, "CANCELLED": 5.0}
"""How long after a run's end its first task run, or the end of one, may still arrive: with 20 programs for each core,
46 s were observed. A killed run leaves some unfinished for good, and one that is canceled early has none."""
UNSEEN_S = 8.0
"""How long to wait, once some have arrived, for a task that was not seen at all: such a task mostly never ran."""
AT_ONCE_S = 1.0
"""The same when a task run of each task has arrived: a mapped task has several."""


def pipelines() -> dict[str, Pipeline]:
    """Return the pipelines that can be started, by name: ours, and those that TRIPTYCH_PIPELINES adds."""
    return {each.name: each for each in (TAXI_PIPELINE, TAXI_RANGE, *further.pipelines("prefect_flows"))}


def settled(run: Json, task_runs: Sequence[Json], declared: Sequence[str]) -> bool:
    """Return whether the end of every task run of an ended `run` has arrived, or no more of them are expected.

    They come from an event stream, in order, each about as late as the one before.
    """
    age = seconds(now(), run["end_time"])
    if not task_runs or not all(task["state_type"] in FINAL or task["state_name"] in NAMED for task in task_runs):
        return age > LATE_S[run["state_type"]]
    quiet = min(age, *(seconds(now(), task["updated"]) for task in task_runs))
    if declared and {name_of(task) for task in task_runs}.issuperset(declared):
        return quiet > AT_ONCE_S
    return quiet > UNSEEN_S + max(seconds(instant(task["updated"]), task["state"]["timestamp"]) for task in task_runs)


def seconds(later: dt.datetime, earlier: str) -> float:
    """Return the seconds between a time and one that the server wrote down."""
    return (later - instant(earlier)).total_seconds()


def instant(text: str) -> dt.datetime:
    """Return a time that the server wrote down."""
    return dt.datetime.fromisoformat(text)


def now() -> dt.datetime:
    """Return the time by this machine's clock."""
    return dt.datetime.now(dt.UTC)


def records(
    run: Json, task_runs: Sequence[Json], artifacts: Sequence[Json], declared: Sequence[str]
) -> list[TaskRecord]:
    """Return the record of each task: those that are declared in their order, then the others as they were created.

    A task that is called several times, as a mapped one is, has a record for each call, numbered in their order from 0:
    ``load[0]``; or labeled with the name of the task that called it: ``load[2024-01]``. A declared task that was never
    created has one too, once the run has ended.
    """
    # Their ids are UUIDs of version 7, which sort by time. The threads that run them set all other times.
    created = sorted(task_runs, key=lambda task: str(task["id"]))
    names = list(dict.fromkeys([*declared, *map(name_of, created)]))
    returned, found = returned_by(artifacts), []
    has_lost_some = not returned.keys() <= {task["id"] for task in created}
    for name in names:
        several = [task for task in created if name_of(task) == name]
        labels = [label_of(name, task, created, number) for number, task in enumerate(several)]
        labels = [name] if len(several) == 1 and labels == [f"{name}[0]"] else labels
        found += [record(label, run, task, returned) for label, task in zip(labels, several, strict=True)]
        skipped = skipped_by(name, created, declared) if all(map(callers_of, several)) else []
        found += [TaskRecord(f"{name}[{caller}]", "skipped", 0) for caller in skipped]
        if not several and not skipped and run["state_type"] in FINAL:
            found.append(TaskRecord(name, never_created(run, has_lost_some), 0))
    return found


def label_of(name: str, task: Json, every: Sequence[Json], number: int) -> str:
    """Return the label of one of several calls of a task."""
    called_by = next((each["name"] for each in every if each["id"] in callers_of(task)), number)
    return f"{name}[{called_by}]"


def callers_of(task: Json) -> set[str]:
    """Return the ids of the task runs in which a task was called; none when the flow called it."""
    return {str(each["id"]) for each in task["task_inputs"].get("__parents__", [])}


def skipped_by(name: str, every: Sequence[Json], declared: Sequence[str]) -> list[str]:
    """Return the names of the completed task runs that called declared tasks, but not this one of them."""
    called = {(caller, name_of(task)) for task in every for caller in callers_of(task)}
    completed = {str(task["id"]): str(task["name"]) for task in every if task["state_type"] == "COMPLETED"}
    return [
        label
        for caller, label in completed.items()
        if name in declared and (caller, name) not in called and any((caller, other) in called for other in declared)
    ]


def name_of(task: Json) -> str:
    """Return the name of a task: its function's, or what `with_options` named it.

    That is the task run's name without the suffix that Prefect adds, unless the task names its runs itself.
    """
    named = re.fullmatch("(.+)-[0-9a-f]{3}", str(task["name"]))
    return named[1] if named else history.step(task)


def record(name: str, run: Json, task: Json, returned: Mapping[str, Any]) -> TaskRecord:
    """Return what is recorded of one task run.

    A killed process leaves its task running for good: it ended with the run.
    """
    state = NAMED.get(task["state_name"]) or STATES[task["state_type"]]
    if state in ("queued", "running") and run["state_type"] in FINAL:
        state = "canceled" if run["state_type"] == "CANCELLED" else "failed"
    told = returned.get(task["id"])
    receipt = told if isinstance(told, dict) else {}
    if state == "success" and receipt.get("state") == "unchanged":
        state = "unchanged"
    return TaskRecord(
        name, state, task["run_count"], task["start_time"],
        task["end_time"], receipt.get("rows"), told, task.get("expected_start_time"),
    )  # fmt: skip


def never_created(run: Json, has_lost_some: bool) -> TaskState:
    """Return the state of a task that an ended `run` did not create.

    A run that completed had no need of it; one that failed did not reach it. A restart of the server loses task runs,
    and never an artifact.
    """
    ends: dict[str, TaskState] = {"COMPLETED": "success" if has_lost_some else "skipped", "CANCELLED": "canceled"}
    return ends.get(run["state_type"], "upstream failed")


def cause(run: Json, task_runs: Sequence[Json], declared: Sequence[str]) -> str:
    """Return in one line why a run failed: the message of its first task that failed itself, or else the run's own."""
    failed = [task for task in task_runs if task["state_type"] == "FAILED" and task["state_name"] not in NAMED]
    ends = {name_of(task): task["state"] for task in failed}
    state = next((ends[name] for name in (*declared, *ends) if name in ends), run["state"])
    return history.one_line(state["message"] or state["name"])


def returned_by(artifacts: Sequence[Json]) -> dict[str, Any]:
    """Return what each task reported, by its task run's id: its last artifact.

    Prefect keeps what a task returns for its flow only, unless results are persisted. What is to be seen from outside
    is an artifact: the row of a table of one row, the rows of another one, or the text of a Markdown artifact.
    """
    returned: dict[str, Any] = {}
    of_tasks = [each for each in artifacts if each["task_run_id"]]
    for each in sorted(of_tasks, key=lambda each: str(each["created"])):
        data = each["data"]
        if each["type"] == "table":
            rows = json.loads(data)
            data = rows[0] if isinstance(rows, list) and len(rows) == 1 else rows
        returned[each["task_run_id"]] = data
    return returned
