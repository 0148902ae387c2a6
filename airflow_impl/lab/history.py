"""From what Airflow recorded of a month's run to the record of the runner protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_impl.lab.client import Airflow, Json, path_of
from core import errors
from core.lab.protocol import TAXI_PIPELINE, MonthRecord, TaskRecord, TaskState, month_record
from core.run import TASKS

BRANCH = "pending"
"""The task that decides whether `transform` and `check` run: one of the DAG, and none of the protocol's steps."""

RETURNED = "return_value"
"""The key of the XCom that a task's return value becomes."""


def attempts(airflow: Airflow, runs: Sequence[Json]) -> dict[str, dict[str, int]]:
    """Return, for each of `runs` by its partition, the attempt of each task that is under way."""
    by_run: dict[str, dict[str, int]] = {run["dag_run_id"]: {} for run in runs}
    under_way = airflow.under_way(runs)
    for task, one in ((task, one) for task in TASKS for one in under_way if one["task_id"] == task):
        by_run[one["dag_run_id"]][task] = one["try_number"]
    return {run["partition_key"]: by_run[run["dag_run_id"]] for run in runs}


def record(airflow: Airflow, run: Json) -> MonthRecord:
    """Return what Airflow recorded of a run that is over."""
    path = f"{path_of(run)}/taskInstances"
    instances = {one["task_id"]: one for one in airflow.get(path)["task_instances"]}
    steps = {task: one for task, one in instances.items() if task in TASKS}
    receipts = {task: returned(airflow, f"{path}/{task}") for task, one in steps.items() if one["state"] == "success"}
    # The branch may fail too, and then no step has.
    failed = sorted((task for task, one in instances.items() if one["state"] == "failed"), key=TAXI_PIPELINE.order)
    error = error_of(airflow, f"{path}/{failed[0]}", instances[failed[0]]) if failed else None
    tasks = [task_record(one, receipts.get(task, {})) for task, one in steps.items()]
    return month_record(run["partition_key"], tasks, receipts, error)


def returned(airflow: Airflow, path: str, map_index: int = -1) -> Any:
    """Return what an instance of the task at `path` returned, as JSON: of our DAG's tasks, the receipt."""
    return airflow.get(f"{path}/xcomEntries/{RETURNED}", map_index=map_index)["value"]


def error_of(airflow: Airflow, path: str, instance: Json) -> str:
    """Return the one-line message of the exception that ended the task, from its structured log."""
    index = instance.get("map_index", -1)
    events = airflow.get(f"{path}/logs/{instance['try_number']}", map_index=index, full_content=True)["content"]
    # Of a chain of exceptions, the first is the one that was raised last. Its causes follow.
    raised = [event["error_detail"][0] for event in events if event.get("error_detail")]
    if raised:
        return one_line(raised[-1]["exc_type"], raised[-1]["exc_value"])
    last = [event["event"] for event in events if event.get("level") in ("error", "critical")]
    return last[-1] if last else f"{instance['task_id']} ended without a message: see its log in Airflow"


def one_line(exception: str, message: str) -> str:
    """Return an error as one line: one of ours by its message alone, any other by its name too (`KeyError: 'rows'`)."""
    text = message if hasattr(errors, exception) else f"{exception}: {message}"
    return " ".join(text.split())


def task_record(instance: Json, receipt: Json) -> TaskRecord:
    """Return one task instance as the protocol records it."""
    states: dict[str, TaskState] = {"success": "success", "failed": "failed", "skipped": "skipped"}
    state = "unchanged" if receipt.get("state") == "unchanged" else states.get(instance["state"], "upstream failed")
    return TaskRecord(
        task=instance["task_id"],
        state=state,
        attempts=instance["try_number"],
        started_at=instance["start_date"],
        ended_at=instance["end_date"],
        rows=receipt.get("rows"),
    )
