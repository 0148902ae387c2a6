"""Single runs, as the runner protocol records them, from what Dagster recorded; and the processes behind them."""

import uuid
from collections.abc import Mapping
from typing import Any

from core.errors import TransientError, UsageError
from core.lab.protocol import (
    TAXI_PIPELINE,
    Cause,
    ProcessesRequest,
    ProcessRecord,
    Role,
    RunRecord,
    RunState,
    StartRequest,
    TaskRecord,
    TaskState,
)
from core.waiting import patiently
from dagster_impl.lab import history, queries
from dagster_impl.lab.backfill import ASSETS, ENDED, no_partition, partitions
from dagster_impl.lab.client import Client
from dagster_impl.lab.services import HIDDEN_TAG_PREFIX, LOCATION

ASSET_JOB = "__ASSET_JOB"
"""The job that Dagster makes of all assets: a run that materializes some of them by hand is one of this job."""

STATES: dict[str, RunState] = {
    "NOT_STARTED": "queued", "QUEUED": "queued", "MANAGED": "queued", "STARTING": "running", "STARTED": "running",
    "CANCELING": "running", "SUSPENDED": "running", "SUCCESS": "success", "FAILURE": "failed", "CANCELED": "canceled",
}  # fmt: skip
"""What each status of a run is called in the protocol."""

STEP_STATES: dict[str, TaskState] = {
    "IN_PROGRESS": "running", "SUCCESS": "success", "FAILURE": "failed", "SKIPPED": "skipped",
}  # fmt: skip
"""What each status of a step is called in the protocol."""

CAUSES: dict[str, Cause] = {
    "dagster/parent_run_id": "retry", "dagster/schedule_name": "scheduled", "dagster/sensor_name": "event",
    "dagster/auto_materialize": "event", "dagster/from_automation_condition": "event", "dagster/backfill": "backfill",
}  # fmt: skip
"""The cause of a run by a tag. The first one counts: a retry has the tags of the run that it repeats."""

ROLES: dict[str, Role] = {"code-server": "code server", "daemon": "daemon", "webserver": "API"}
"""What each service does, by the name of its step. The daemon starts runs from the queue, schedules and backfills."""


def start(client: Client, wanted: StartRequest) -> str:
    """Materialize all assets of a month in one run, as their page does; return the run's id.

    Raise `UsageError` for a month that is no partition: Dagster would start a run, which would then fail.
    """
    if wanted.month not in (known := set(partitions(client))):
        raise UsageError(no_partition(wanted.month, known))
    ours = {"key": f"{HIDDEN_TAG_PREFIX}triptych-request", "value": uuid.uuid4().hex}
    params = {
        "selector": {
            "repositoryLocationName": LOCATION,
            "repositoryName": "__repository__",
            "jobName": ASSET_JOB,
            "assetSelection": [{"path": [asset]} for asset in ASSETS],
        },
        "executionMetadata": {"tags": [ours, {"key": "dagster/partition", "value": wanted.month}]},
        "runConfigData": {"resources": {"parameters": {"config": wanted.parameters}}},
    }

    def attempt() -> str:
        # An earlier attempt whose answer was lost may have launched the run: then one has our tag.
        if found := client.one(queries.RUNS, {"filter": {"tags": [ours]}, "limit": 1}, "Runs")["results"]:
            return str(found[0]["id"])
        return str(client.once(queries.LAUNCH_RUN, {"params": params}, "LaunchRunSuccess")["run"]["id"])

    return patiently(attempt, client.patience_s)


def newest(client: Client, pipeline: str | None, limit: int) -> list[RunRecord]:
    """Return the newest runs, without their tasks."""
    job = ASSET_JOB if pipeline == TAXI_PIPELINE.name else pipeline
    answer = client.one(queries.RUNS, {"filter": {"pipelineName": job}, "limit": limit}, "Runs")
    return [record(client, run) for run in answer["results"]]


def observed(client: Client, _pipeline: str, run_id: str) -> RunRecord:
    """Return a run with its tasks, what they returned, and why one failed."""
    run = client.one(queries.RUN, {"id": run_id}, "Run")
    steps = {step["stepKey"]: step for step in run["stepStats"]}
    tasks = [task_record(run, key, steps.get(key)) for key in run["stepKeysToExecute"]]
    error = history.error_of(run) if run["status"] == "FAILURE" else None
    return record(client, run, sorted(tasks, key=lambda task: TAXI_PIPELINE.order(task.task)), error)


def record(
    client: Client, run: Mapping[str, Any], tasks: list[TaskRecord] | None = None, error: str | None = None
) -> RunRecord:
    """Return the record of a run."""
    tags = history.tags_of(run)
    return RunRecord(
        orchestrator="dagster",
        pipeline=TAXI_PIPELINE.name if run["jobName"] == ASSET_JOB else run["jobName"],
        run_id=run["id"],
        state=STATES[run["status"]],
        cause=next((cause for tag, cause in CAUSES.items() if tag in tags), "manual"),
        partition=tags.get("dagster/partition"),
        created_at=history.iso(run["creationTime"]),
        started_at=history.iso(run["startTime"]),
        ended_at=history.iso(run["endTime"]),
        tasks=tasks or [],
        error=error,
        url=client.page(run["id"]),
    )


def task_record(run: Mapping[str, Any], key: str, step: Mapping[str, Any] | None) -> TaskRecord:
    """Return what is recorded of one step: None before it began. A killed or canceled one ended with its run."""
    task, ended = history.TASK_OF_STEP.get(key, key), run["status"] in ENDED
    if step is None:
        held_back: TaskState = "upstream failed" if run["status"] == "FAILURE" else "skipped"
        return TaskRecord(task, held_back if ended else "queued", 0)
    state = STEP_STATES[step["status"]]
    # An attempt is listed once it has ended; a step that succeeds at once lists none.
    attempts = len(step["attempts"]) + 1 if state == "running" else max(1, len(step["attempts"]))
    if ended and state in ("running", "failed"):
        state = "canceled" if run["status"] == "CANCELED" else "failed"
    returned = returned_by(run, task, step) if state == "success" else None
    if returned and returned.get("state") == "unchanged":
        state = "unchanged"
    rows = returned.get("rows") if returned else None
    return TaskRecord(
        task, state, attempts, history.iso(step["startTime"]), history.iso(step["endTime"]), rows, returned
    )


def returned_by(run: Mapping[str, Any], task: str, step: Mapping[str, Any]) -> dict[str, Any]:
    """Return the receipt of a step, as far as Dagster keeps it: as metadata, or as the results of the run's checks."""
    receipt = {name: value for name, value in history.receipt_of(step).items() if not name.startswith("dagster/")}
    if task == "check":
        results = history.evaluations_of(run)
        passed = sum(each["success"] for each in results)
        receipt = {
            "state": "success",
            "detail": f"{passed} of {len(results)} checks passed",
            "warnings": history.warnings_of(run),
        }
    return {"task": task, **receipt}


def cancel(client: Client, _pipeline: str, run_id: str) -> None:
    """Terminate a run that has not ended, as its page does."""

    def attempt() -> None:
        answer = client.once(queries.TERMINATE, {"id": run_id}, "TerminateRunSuccess", "TerminateRunFailure")
        # Dagster terminates no run whose process starts; one that has ended, or is being canceled, stays as it is.
        if answer["__typename"] == "TerminateRunFailure" and answer["run"]["status"] not in (*ENDED, "CANCELING"):
            raise TransientError(f"Dagster can't cancel the run yet: {answer['message']}")

    patiently(attempt, client.patience_s)


def delete(client: Client, _pipeline: str, run_id: str) -> None:
    """Delete a run with its events, as its page does. One that is gone already is no error."""
    client.one(queries.DELETE, {"id": run_id}, "DeletePipelineRunSuccess", "RunNotFoundError")


def processes(client: Client, wanted: ProcessesRequest) -> list[ProcessRecord]:
    """Return the services, and the process of each run: it writes down its pid when it starts."""
    services = [ProcessRecord(ROLES[name], name, pid) for name, pid in wanted.services.items()]
    found = []
    for run in client.one(queries.PROCESSES, {}, "Runs")["results"]:
        entries = [entry for event in run["eventConnection"]["events"] for entry in event.get("metadataEntries", [])]
        if pids := [int(entry["text"]) for entry in entries if entry["label"] == "pid"]:
            found.append(ProcessRecord("run", "run worker", pids[-1], run["id"]))
    return services + found
