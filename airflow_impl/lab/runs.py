"""Single runs, as the runner protocol records them, from what Airflow recorded; and the processes behind them."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from airflow_impl.lab import history
from airflow_impl.lab import services as stack
from airflow_impl.lab.client import Airflow, Json, path_of
from core.errors import UsageError, quoted
from core.lab.protocol import (
    BALANCER,
    TAXI_PIPELINE,
    Cause,
    LimitRequest,
    ProcessesRequest,
    ProcessRecord,
    Role,
    RunRecord,
    RunState,
    StartRequest,
    TaskRecord,
    TaskState,
    service_of,
)

CANCELED = "canceled by hand"
"""The note of a run that a person canceled. Airflow has no such state: it marks the run as failed."""

ROLES: dict[str, Role] = {
    "api-server": "API", BALANCER: "API",
    "scheduler": "scheduler", "dag-processor": "code server", "triggerer": "triggerer",
}  # fmt: skip
"""What each service does, by the name of its step."""

CAUSES: dict[str, Cause] = {
    "manual": "manual", "scheduled": "scheduled", "backfill": "backfill", "operator_triggered": "parent run",
    "asset_triggered": "event", "asset_materialization": "manual",
}  # fmt: skip
"""The cause of a run by its type."""

STATES: dict[str | None, TaskState] = {
    "running": "running", "restarting": "running", "success": "success", "failed": "failed", "skipped": "skipped",
    "upstream_failed": "upstream failed", "removed": "skipped",
}  # fmt: skip
"""What each state of a task instance is called in the protocol. One in any other waits."""


def start(airflow: Airflow, wanted: StartRequest) -> str:
    """Trigger the DAG, as its form does; return the run's id. A repeated call finds the run of the first one.

    Raise `UsageError` when the DAG has another run for the date: Airflow makes one for each.
    """
    # As Airflow itself makes one: two runs may start in the same instant.
    run_id = f"manual__{dt.datetime.now(dt.UTC).isoformat()}_{secrets.token_hex(4)}"
    body = {
        "dag_run_id": run_id,
        "logical_date": wanted.at,
        "partition_key": wanted.month,
        "conf": wanted.parameters,
    }
    path = path_of({"dag_id": wanted.pipeline, "dag_run_id": run_id})
    answer = airflow.call("POST", f"/dags/{wanted.pipeline}/dagRuns", 409, json=body)
    if answer.status_code == 409 and not airflow.call("GET", path, 404).is_success:
        raise UsageError(
            f"airflow: {wanted.pipeline} has a run for {wanted.at}, and makes no second one for a date: "
            "retry or delete that one"
        )
    return run_id


def newest(airflow: Airflow, pipeline: str | None, limit: int) -> list[RunRecord]:
    """Return the newest runs, without their tasks; none of a DAG that does not exist."""
    query = {"order_by": "-id", "limit": limit}
    found = airflow.call("GET", f"/dags/{quote(pipeline or '~', safe='~')}/dagRuns", 404, params=query)
    return [record(airflow, run) for run in found.json()["dag_runs"]] if found.is_success else []


def observed(airflow: Airflow, pipeline: str, run_id: str) -> RunRecord:
    """Return a run with its tasks in the order of the pipeline, what they returned, and why one failed.

    A mapped task has a record for each of its instances, named by its label, or else by its index, as in ``task[3]``;
    until it is expanded, it has one, named ``task``. Raise `UsageError` when the DAG has no such run.
    """
    answer = airflow.call("GET", path_of({"dag_id": pipeline, "dag_run_id": run_id}), 404)
    if not answer.is_success:
        raise UsageError(
            f"airflow has no run {quoted(run_id)!r} of {pipeline}: `triptych runs --on airflow` lists them"
        )
    run = answer.json()
    path = f"{path_of(run)}/taskInstances"
    instances = sorted(airflow.every(path, "task_instances"), key=place_in(pipeline))
    returned = returned_by(airflow, path)
    steps = [one for one in instances if pipeline != TAXI_PIPELINE.name or one["task_id"] != history.BRANCH]
    tasks = [task_record(run, one, returned.get(key_of(one))) for one in steps]
    failed = [one for one in instances if one["state"] == "failed"]
    error = None
    if state_of(run) == "failed":
        error = "the run failed without a failed task: see its page"
        if failed:
            error = history.error_of(airflow, f"{path}/{failed[0]['task_id']}", failed[0])
    return record(airflow, run, tasks, error)


def place_in(pipeline: str) -> Callable[[Json], tuple[int, int]]:
    """Return the sort key of a task instance: its task's place in the pipeline, and its own among the mapped ones."""
    order = next((each.order for each in stack.pipelines() if each.name == pipeline), lambda _: 0)
    return lambda one: (order(one["task_id"]), one["map_index"])


def key_of(one: Json) -> tuple[str, int]:
    """Return what tells a task instance, or an XCom of one, from the others of a run."""
    return one["task_id"], one["map_index"]


def returned_by(airflow: Airflow, path: str) -> dict[tuple[str, int], Any]:
    """Return what the task instances below `path` returned; one that returned nothing has no XCom."""
    found = airflow.every(f"{path}/~/xcomEntries", "xcom_entries", xcom_key=history.RETURNED)
    return {key_of(one): history.returned(airflow, f"{path}/{one['task_id']}", one["map_index"]) for one in found}


def record(airflow: Airflow, run: Json, tasks: list[TaskRecord] | None = None, error: str | None = None) -> RunRecord:
    """Return the record of a run."""
    return RunRecord(
        orchestrator="airflow",
        pipeline=run["dag_id"],
        run_id=run["dag_run_id"],
        state=state_of(run),
        cause=CAUSES[run["run_type"]],
        # A run that was triggered with the form may have its month as a param instead.
        partition=run["partition_key"] or (run["conf"] or {}).get("month"),
        created_at=run["queued_at"] or run["run_after"],
        started_at=run["start_date"],
        ended_at=run["end_date"],
        tasks=tasks or [],
        error=error,
        url=airflow.page(run),
    )


def state_of(run: Json) -> RunState:
    """Return a run's state: Airflow's own, but for a run that somebody canceled."""
    state: RunState = run["state"]
    return "canceled" if state == "failed" and run["note"] == CANCELED else state


def task_record(run: Json, instance: Json, returned: Any) -> TaskRecord:
    """Return one task instance. Those that were running in a canceled run are failed in Airflow."""
    state, (name, index) = STATES.get(instance["state"], "queued"), key_of(instance)
    receipt = returned if isinstance(returned, dict) else {}
    if state == "failed" and state_of(run) == "canceled":
        state = "canceled"
    if state == "success" and receipt.get("state") == "unchanged":
        state = "unchanged"
    label = "" if index < 0 else f"[{instance.get('rendered_map_index') or index}]"
    return TaskRecord(
        name + label, state, instance["try_number"], instance["start_date"],
        instance["end_date"], receipt.get("rows"), returned, instance.get("scheduled_when"),
    )  # fmt: skip


def cancel(airflow: Airflow, pipeline: str, run_id: str) -> None:
    """Mark a run that has not ended as failed, as its page does: Airflow then ends its tasks."""
    path = path_of({"dag_id": pipeline, "dag_run_id": run_id})
    if airflow.get(path)["state"] in ("queued", "running"):
        airflow.call("PATCH", path, json={"state": "failed", "note": CANCELED})


def retry(airflow: Airflow, pipeline: str, run_id: str) -> str:
    """Clear the failed task instances of a run, as its page does: they run again in the same run.

    Those that could not run, because one before them failed, count as failed here.
    """
    body = {"dag_run_id": run_id, "only_failed": True, "dry_run": False}
    airflow.call("POST", f"/dags/{pipeline}/clearTaskInstances", json=body)
    return run_id


def delete(airflow: Airflow, pipeline: str, run_id: str) -> None:
    """Delete a run with its task instances and XComs, as its page does. One that is gone already is no error."""
    airflow.call("DELETE", path_of({"dag_id": pipeline, "dag_run_id": run_id}), 404)


def limit(airflow: Airflow, wanted: LimitRequest) -> None:
    """Set the slots of a pool; create it if there is none."""
    # The server checks the body of a PATCH as if the pool were replaced as a whole.
    whole = {"slots": wanted.slots, "include_deferred": False}
    path = f"/pools/{quote(wanted.name, safe='')}"
    changed = airflow.call("PATCH", path, 404, params={"update_mask": "slots"}, json={"pool": wanted.name, **whole})
    if not changed.is_success:
        airflow.call("POST", "/pools", 409, json={"name": wanted.name, **whole})


def processes(airflow: Airflow, wanted: ProcessesRequest) -> list[ProcessRecord]:
    """Return the services, and the process of each task that runs."""
    services = [ProcessRecord(ROLES[service_of(name)], name, pid) for name, pid in wanted.services.items()]
    running = airflow.get("/dags/~/dagRuns/~/taskInstances", state="running")["task_instances"]
    tasks = [ProcessRecord("run", one["task_id"], one["pid"], one["dag_run_id"]) for one in running if one["pid"]]
    return services + tasks
