"""What Dagster recorded of a month's runs, as records of the runner protocol."""

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.lab.protocol import MonthRecord, TaskRecord, TaskState, month_record
from core.month import parse_months

TASK_OF_STEP = {
    "raw_zones": "ingest_zones",
    "raw_trips": "ingest_month",
    "transform": "transform",
    "check": "check",
    "month_report.report": "report",
}
"""The protocol's name of each step of a run. Dagster names a step after its asset, or as its function says.

`month_report.checked` is missing: it is a part of the join, and does nothing.
"""

NAMES = {"dagster/partition_row_count": "rows", "dagster/row_count": "rows"}
"""A receipt's names of the metadata that has other names in Dagster."""

READERS: dict[str, Callable[[str], Any]] = {"jsonString": json.loads, "intRepr": int, "floatRepr": float}
"""How metadata is read that GraphQL has as text: its own integers have 32 bits, and its floats no infinity."""

AROUND = ("dagster._core.errors.DagsterExecutionStepExecutionError", "Exceeded max_retries")
"""How the messages begin of the errors that Dagster puts around one of a step."""

OUTPUT, LOGGED = "ExecutionStepOutputEvent", "LogMessageEvent"

Runs = dict[str, list[dict[str, Any]]]
"""The runs of each month, oldest first: more than one when a process was killed and its run was retried."""


def by_month(runs: Sequence[dict[str, Any]]) -> Runs:
    """Return the runs of a backfill by month: one of a range of months is the run of each."""
    months: Runs = defaultdict(list)
    for run in sorted(runs, key=lambda run: float(run["creationTime"])):
        for month in partitions_of(tags_of(run)):
            months[month].append(run)
    return months


def partitions_of(tags: Mapping[str, str]) -> list[str]:
    """Return the months that a run is of, by its tags."""
    if month := tags.get("dagster/partition"):
        return [month]
    ends = (tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
    return [str(month) for month in parse_months("..".join(ends))]


def is_lost(run: Mapping[str, Any]) -> bool:
    """Return whether Dagster announced a retry of a failed run, and did not make it."""
    tags = tags_of(run)
    return (
        run["status"] == "FAILURE"
        and tags.get("dagster/will_retry") == "true"
        and "dagster/auto_retry_run_id" not in tags
    )


def tags_of(run: Mapping[str, Any]) -> dict[str, str]:
    """Return a run's tags by key."""
    return {tag["key"]: tag["value"] for tag in run["tags"]}


def under_way(run: Mapping[str, Any]) -> dict[str, int]:
    """Return the attempt of each step of a run that runs, or waits for its next attempt."""
    # An attempt is listed once it has ended.
    steps = run["stepStats"]
    attempts = {step["stepKey"]: len(step["attempts"]) + 1 for step in steps if step["status"] == "IN_PROGRESS"}
    return {task: attempts[key] for key, task in TASK_OF_STEP.items() if key in attempts}


def record(month: str, runs: Sequence[Mapping[str, Any]]) -> MonthRecord:
    """Sum up the runs of `month`, oldest first."""
    steps = [step for run in runs for step in run["stepStats"] if step["stepKey"] in TASK_OF_STEP]
    stats = [(TASK_OF_STEP[step["stepKey"]], step) for step in steps]
    receipts = {task: receipt for task, step in stats if (receipt := receipt_of(step))}
    tasks = [_task(task, [step for name, step in stats if name == task], receipts) for task in TASK_OF_STEP.values()]
    error = None if runs[-1]["status"] == "SUCCESS" else error_of(runs[-1])
    if not error:
        receipts["check"] = {"warnings": warnings_of(runs[-1])}
    return month_record(month, tasks, receipts, error)


def _task(task: str, steps: Sequence[Mapping[str, Any]], receipts: Mapping[str, Mapping[str, Any]]) -> TaskRecord:
    if not steps:
        return TaskRecord(task, "upstream failed", 0)
    receipt, first, last = receipts.get(task, {}), steps[0], steps[-1]
    if is_skipped(last):
        return TaskRecord(task, "skipped", 0)
    # A step is also failed when its process was killed: it has no end then.
    state: TaskState = "failed"
    if last["status"] == "SUCCESS":
        state = "unchanged" if receipt.get("state") == "unchanged" else "success"
    attempts = sum(max(1, len(step["attempts"])) for step in steps)
    return TaskRecord(task, state, attempts, iso(first["startTime"]), iso(last["endTime"]), receipt.get("rows"))


def is_skipped(step: Mapping[str, Any]) -> bool:
    """Return whether a step had nothing to do: Dagster skipped it, or it is the branch and yielded no model."""
    is_branch = step["stepKey"] == "transform" and step["status"] == "SUCCESS"
    return step["status"] == "SKIPPED" or (is_branch and not step["materializations"])


def receipt_of(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of what a step materialized, by the receipt's names; empty without a materialization."""
    return _metadata(step["materializations"])


def outputs_of(run: Mapping[str, Any], step: str) -> dict[str, Any]:
    """Return the metadata of a step's outputs, for one that materializes nothing."""
    events = run["eventConnection"]["events"]
    return _metadata([event for event in events if event["__typename"] == OUTPUT and event["stepKey"] == step])


def said_of(run: Mapping[str, Any], step: str) -> float | None:
    """Return when Dagster last logged something of a step, in seconds since 1970; None when it never did."""
    events = run["eventConnection"]["events"]
    times = [event["timestamp"] for event in events if event["__typename"] == LOGGED and event["stepKey"] == step]
    return int(times[-1]) / 1000 if times else None


def _metadata(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    entries = [entry for event in events for entry in event["metadataEntries"]]
    return {NAMES.get(entry["label"], entry["label"]): _value(entry) for entry in entries}


def _value(entry: Mapping[str, Any]) -> Any:
    """Return the value of a metadata entry: its only field besides the label. Some kinds have none that we read."""
    values = ((name, value) for name, value in entry.items() if name != "label")
    return next((READERS[name](value) if name in READERS else value for name, value in values), None)


def warnings_of(run: Mapping[str, Any]) -> list[str]:
    """Return what the checks of severity WARN report, which is all that Dagster keeps of the step's receipt."""
    broken = [each for each in evaluations_of(run) if not each["success"]]
    return [each["description"] for each in broken if each["severity"] == "WARN"]


def evaluations_of(run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the results of a run's checks."""
    return [event["evaluation"] for event in run["eventConnection"]["events"] if "evaluation" in event]


def error_of(run: Mapping[str, Any]) -> str:
    """Return the message of the step that failed, or the run's own if no step lived to report one."""
    events = run["eventConnection"]["events"]
    for event in events:
        if event["__typename"] == "ExecutionStepFailureEvent":
            failure = event["failureMetadata"] or {}
            return str(failure.get("description") or _raised(event["error"])).strip().splitlines()[0]
    messages = [event["message"] for event in events if event["__typename"] == "RunFailureEvent"]
    return str(messages[-1]).strip().splitlines()[0] if messages else f"the run ended as {run['status']}"


def _raised(error: Mapping[str, Any]) -> str:
    """Return the message of what a step raised, around which Dagster may have put errors of its own."""
    messages = [str(each["message"]) for each in (error, *error["causes"])]
    return next((message for message in messages if not message.startswith(AROUND)), messages[-1])


def iso(seconds: float | None) -> str | None:
    """Return Dagster's seconds since 1970 as ISO 8601 in UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat() if seconds else None
