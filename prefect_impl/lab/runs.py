"""Single runs, as the runner protocol records them, from what the server recorded; and the processes behind them."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import replace
from pathlib import Path

from core.errors import UsageError, quoted
from core.lab.protocol import (
    BALANCER,
    TAXI_PIPELINE,
    TAXI_RANGE,
    Cause,
    Endpoint,
    LimitRequest,
    Pipeline,
    ProcessesRequest,
    ProcessRecord,
    Role,
    RunRecord,
    RunState,
    StartRequest,
    service_of,
)
from prefect_impl.lab import history, tasks
from prefect_impl.lab.client import FINAL, Json, Prefect
from prefect_impl.lab.warm_engine.client import NOTES

STATES: dict[str, RunState] = {
    "SCHEDULED": "queued", "PENDING": "queued", "RUNNING": "running", "PAUSED": "running", "CANCELLING": "running",
    "COMPLETED": "success", "FAILED": "failed", "CRASHED": "failed", "CANCELLED": "canceled",
}  # fmt: skip
"""What each type of state is called in the protocol."""

ROLES: dict[str, Role] = {
    "server": "API", BALANCER: "API", "redis": "API", "worker": "worker", "engine": "worker",
}  # fmt: skip
"""What each service does, by the name of its step. The server is scheduler and API in one process;
Redis and the balancer are parts of it when there are several. The warm engine forks the runs of the worker."""

CAUSES: dict[str, Cause] = {"SCHEDULE": "scheduled", "AUTOMATION": "event"}
"""The cause of a run by the type of its creator, where Prefect records one."""


def start(prefect: Prefect, wanted: StartRequest) -> str:
    """Create a run of the deployment, as its form does; return the run's id.

    The run parameters of our two pipelines are one parameter of the flow. Each one of another pipeline is the flow's.
    """
    given: Json = {"month": wanted.month} if wanted.month else {}
    parameters = dict(wanted.parameters)
    if wanted.pipeline == TAXI_RANGE.name:
        given = {"months": parameters.pop("months")}
    is_ours = wanted.pipeline in (TAXI_PIPELINE.name, TAXI_RANGE.name)
    return prefect.start(wanted.pipeline, given | ({"parameters": parameters} if is_ours else parameters), wanted.at)


def newest(prefect: Prefect, pipeline: str | None, limit: int) -> list[RunRecord]:
    """Return the newest runs, without their tasks, and without those that a schedule has planned for later."""
    now = {"before_": dt.datetime.now(dt.UTC).isoformat()}
    wanted: Json = {"sort": "EXPECTED_START_TIME_DESC", "flow_runs": {"expected_start_time": now}}
    if pipeline:
        wanted["flows"] = {"name": {"any_": [pipeline]}}
    return records(prefect, prefect.filter("flow_runs", wanted, limit))


def observed(prefect: Prefect, _pipeline: str, run_id: str) -> RunRecord:
    """Return a run of any flow with its tasks; it still runs while the ends of its tasks may arrive.

    Raise `UsageError` when there is no such run.
    """
    run = prefect.find(f"/flow_runs/{run_id}")
    if run is None:
        raise UsageError(f"prefect has no run {quoted(run_id)!r}: `triptych runs --on prefect` lists them")
    of_run = {"flow_runs": {"id": {"any_": [run_id]}}}
    task_runs = prefect.filter("task_runs", of_run)
    artifacts = prefect.filter("artifacts", {**of_run, "artifacts": {"type": {"any_": ["table", "markdown"]}}})
    (record,) = records(prefect, [run])
    pipeline = tasks.pipelines().get(record.pipeline)
    declared = pipeline.tasks if pipeline else []
    # The branch is a task of our flow, and none of its steps.
    steps = [task for task in task_runs if pipeline != TAXI_PIPELINE or history.step(task) in declared]
    record = replace(
        record, tasks=tasks.records(run, steps, artifacts, declared), launched_at=launched_at(prefect, run_id)
    )
    if record.state == "failed":
        record = replace(record, error=tasks.cause(run, task_runs, declared))
    if record.has_ended and not has_settled(run, task_runs, artifacts, pipeline):
        return replace(record, state="running", ended_at=None)
    return record


def launched_at(prefect: Prefect, run_id: str) -> str | None:
    """Return when the worker began to start the process of a run: it sets the run to Pending, and then starts it."""
    states = prefect.call("GET", f"/flow_run_states/?flow_run_id={run_id}")
    return min((state["timestamp"] for state in states if state["type"] == "PENDING"), default=None)


def has_settled(run: Json, task_runs: list[Json], artifacts: list[Json], pipeline: Pipeline | None) -> bool:
    """Return whether the record of an ended run is complete: of our own pipeline it is known which tasks it creates."""
    if pipeline == TAXI_PIPELINE:
        return history.settled(
            run, task_runs, history.receipts_of(each for each in artifacts if each["type"] == "table")
        )
    return tasks.settled(run, task_runs, pipeline.tasks if pipeline else [])


def records(prefect: Prefect, runs: list[Json]) -> list[RunRecord]:
    """Return the records of runs, without their tasks."""
    names = {flow["id"]: flow["name"] for flow in prefect.filter("flows", {})}
    parents = parent_flows(prefect, runs, names)
    return [
        RunRecord(
            orchestrator="prefect",
            pipeline=names[run["flow_id"]],
            run_id=run["id"],
            state=state_of(run),
            cause=cause_of(run, parents),
            partition=run["parameters"].get("month"),
            created_at=run["created"],
            started_at=run["start_time"],
            ended_at=run["end_time"],
            error=history.cause(run, []) if state_of(run) == "failed" else None,
            url=prefect.page(run["id"]),
        )
        for run in runs
    ]


def parent_flows(prefect: Prefect, runs: list[Json], names: dict[str, str]) -> dict[str, str]:
    """Return the name of the flow that started each run of those that another run started, by the run's id."""
    started = {run["parent_task_run_id"]: run["id"] for run in runs if run["parent_task_run_id"]}
    calls = prefect.filter("task_runs", {"task_runs": {"id": {"any_": list(started)}}}) if started else []
    of_calls = {"flow_runs": {"id": {"any_": [call["flow_run_id"] for call in calls]}}}
    flows = {run["id"]: names[run["flow_id"]] for run in prefect.filter("flow_runs", of_calls)} if calls else {}
    return {started[call["id"]]: flows.get(call["flow_run_id"], "") for call in calls}


def cause_of(run: Json, parents: dict[str, str]) -> Cause:
    """Return why there is this run."""
    if run["parent_task_run_id"]:
        return "backfill" if parents.get(run["id"], "").endswith("backfill") else "parent run"
    if run["auto_scheduled"]:
        return "scheduled"
    return CAUSES.get(run["created_by"]["type"], "manual") if run["created_by"] else "manual"


def state_of(run: Json) -> RunState:
    """Return a run's state; one that ended well under the name Skipped did nothing."""
    return "skipped" if run["state"]["name"] == "Skipped" else STATES[run["state_type"]]


def cancel(prefect: Prefect, _pipeline: str, run_id: str) -> None:
    """Cancel a run that has not ended: one that waits at once, one that runs through its worker."""
    state = prefect.state(run_id)["type"]
    if state == "SCHEDULED":
        prefect.call("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLED"}})
    elif state not in FINAL:
        prefect.cancel(run_id)


def retry(prefect: Prefect, _pipeline: str, run_id: str) -> str:
    """Have a run run again, as its page does: all of it, in the same run."""
    prefect.retry(run_id)
    return run_id


def delete(prefect: Prefect, _pipeline: str, run_id: str) -> None:
    """Delete a run with its task runs, as its page does."""
    prefect.delete(run_id)


def limit(prefect: Prefect, wanted: LimitRequest) -> None:
    """Set the slots of a global concurrency limit; create it if there is none."""
    known = [each["name"] for each in prefect.filter("v2/concurrency_limits", {})]
    if wanted.name in known:
        prefect.call("PATCH", f"/v2/concurrency_limits/{wanted.name}", {"limit": wanted.slots})
    else:
        prefect.call("POST", "/v2/concurrency_limits/", {"name": wanted.name, "limit": wanted.slots})


def processes(prefect: Prefect, wanted: ProcessesRequest) -> list[ProcessRecord]:
    """Return the services, and the process of each run: the worker writes down its host and pid."""
    services = [ProcessRecord(ROLES[service_of(name)], name, pid) for name, pid in wanted.services.items()]
    running = prefect.filter("flow_runs", {"flow_runs": {"state": {"type": {"any_": ["RUNNING", "CANCELLING"]}}}})
    pids = {run["id"]: str(run["infrastructure_pid"] or "").rpartition(":")[2] for run in running}
    home = Path(Endpoint.from_json(wanted.endpoint).home)
    runs = [
        ProcessRecord("run", "engine", process_of(home, int(pid)), run_id)
        for run_id, pid in pids.items()
        if pid.isdecimal()
    ]
    return services + runs


def process_of(home: Path, started: int) -> int:
    """Return the process that executes a run: the one that the worker started, or the one that this stands for."""
    try:
        pid = int(Path(home, NOTES, str(started)).read_text())
        # A supervisor that was killed has left its note.
        os.kill(pid, 0)
    except (OSError, ValueError):
        return started
    return pid
