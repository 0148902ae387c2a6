"""Single runs, as the runner protocol records them, from what Dagster recorded; and the processes behind them."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from core.errors import TransientError, UsageError, quoted
from core.lab.protocol import (
    BALANCER,
    TAXI_PIPELINE,
    TAXI_RANGE,
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
    TicksRequest,
    further,
    service_of,
)
from core.waiting import patiently
from dagster_impl.lab import history, queries, schedules
from dagster_impl.lab.backfill import ENDED, as_resource, no_partition, repository_of
from dagster_impl.lab.client import Client
from dagster_impl.lab.launching import launched
from dagster_impl.lab.services import LOCATION, MODULE

ASSET_JOB = "__ASSET_JOB"
"""The job that Dagster makes of all assets: a run that materializes some of them on their page is one of this job."""

PARTITION = "dagster/partition"

PAGE = 100
"""How many runs are asked for at a time."""

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

ROLES: dict[str, Role] = {
    "code-server": "code server", "further-code-server": "code server", "daemon": "daemon",
    "webserver": "API", BALANCER: "API",
}  # fmt: skip
"""What each service does, by the name of its step. The daemon starts runs from the queue, schedules and backfills."""


def start(client: Client, wanted: StartRequest) -> str:
    """Launch a run as its job's page does, and return its id.

    For a date, it is the run that the job's schedule asks for at this tick. Raise `UsageError` for a month that is no
    partition: Dagster would start a run, which would then fail.
    """
    if wanted.at:
        return schedules.catch_up(client, TicksRequest(wanted.pipeline, wanted.at, wanted.at))[0]
    selector = {**repository_of(client, wanted.pipeline), "jobName": wanted.pipeline}
    known = set(job_partitions(client, selector))
    if known and wanted.month and wanted.month not in known:
        raise UsageError(no_partition(wanted.month, known))
    config = run_config(wanted, is_partitioned=bool(known))
    month = [{"key": PARTITION, "value": wanted.month}] if wanted.month else []
    return launched(client, selector, month, config)


def run_config(wanted: StartRequest, *, is_partitioned: bool) -> dict[str, Any]:
    """Return the run config that the parameters become."""
    if wanted.pipeline == TAXI_RANGE.name:
        return range_config(wanted.parameters)
    # `dagster_impl.lab.further_pipelines` says why.
    return as_resource(wanted.parameters) if is_partitioned else dict(wanted.parameters)


def range_config(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run config of a range: its months are those of an op."""
    months = {"ops": {"months": {"config": {"months": parameters["months"]}}}}
    return months | as_resource({name: value for name, value in parameters.items() if name != "months"})


def job_partitions(client: Client, selector: Mapping[str, Any]) -> list[str]:
    """Return the partitions of a job; none for one that is not partitioned."""
    job = {"pipelineName" if name == "jobName" else name: value for name, value in selector.items()}
    answer = client.one(queries.JOB_PARTITIONS, {"selector": job}, "Pipeline")
    return [str(key) for key in answer["partitionKeysOrError"]["partitionKeys"]]


def newest(client: Client, pipeline: str | None, limit: int) -> list[RunRecord]:
    """Return the newest runs, without their tasks."""
    if pipeline is None:
        return [record(client, run) for run in islice(listed(client, {}), limit)]
    # Of its assets there are runs of its own job, and of the job of all assets.
    jobs = listed(client, {"pipelineName": pipeline})
    assets = (run for run in listed(client, {"pipelineName": ASSET_JOB}) if pipeline_of(run) == pipeline)
    found = [run for runs in (jobs, assets) for run in islice(runs, limit)]
    found.sort(key=lambda run: float(run["creationTime"]), reverse=True)
    return [record(client, run) for run in found[:limit]]


def listed(client: Client, chosen: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the runs that a filter has chosen, newest first, a page at a time."""
    cursor = None
    while page := client.one(queries.RUNS, {"filter": chosen, "limit": PAGE, "cursor": cursor}, "Runs")["results"]:
        yield from page
        if len(page) < PAGE:
            return
        cursor = page[-1]["id"]


def pipeline_of(run: Mapping[str, Any]) -> str:
    """Return the pipeline that a run is of.

    A run that materializes a further pipeline's assets, because somebody or an automation asked for them, is a run of
    the job that Dagster makes of all assets of the location.
    """
    job, origin = str(run["jobName"]), run["repositoryOrigin"]
    if job != ASSET_JOB:
        return job
    if not origin or origin["repositoryLocationName"] == LOCATION:
        return TAXI_PIPELINE.name
    assets = {"__".join(asset["path"]) for asset in run["assetSelection"] or []}
    return next((each.name for each in further.pipelines(MODULE) if assets and assets <= set(each.tasks)), job)


def observed(client: Client, _pipeline: str, run_id: str) -> RunRecord:
    """Return a run with its tasks, what they returned, and why one failed."""
    run = whole(client, run_id)
    steps = {step["stepKey"]: step for step in run["stepStats"]}
    known = {each.name: each for each in (TAXI_PIPELINE, TAXI_RANGE, *further.pipelines(MODULE))}
    declared = known.get(pipeline_of(run))
    keys = [key for key in steps_of(run) if declared != TAXI_PIPELINE or key in history.TASK_OF_STEP]
    tasks = [task_record(run, key, steps.get(key)) for key in keys]
    if declared:
        tasks.sort(key=lambda task: declared.order(task.task.partition("[")[0]))
    return record(client, run, tasks, history.error_of(run) if run["status"] == "FAILURE" else None)


def whole(client: Client, run_id: str) -> dict[str, Any]:
    """Return a run with all of its events: an answer has a page of them. Raise `UsageError` when there is none."""
    run = client.one(queries.RUN, {"id": run_id}, "Run", "RunNotFoundError")
    if run["__typename"] != "Run":
        raise UsageError(f"dagster has no run {quoted(run_id)!r}: `triptych runs --on dagster` lists them")
    events = page = run["eventConnection"]
    while page["hasMore"]:
        page = client.one(queries.RUN, {"id": run_id, "cursor": page["cursor"]}, "Run")["eventConnection"]
        events["events"] += page["events"]
    return run


def steps_of(run: Mapping[str, Any]) -> list[str]:
    """Return the steps of a run in the order of the plan, and then those that came of a dynamic output.

    These are ``step[key]``, and there is a ``step[?]`` in the plan, which stays if there is none of them.
    """
    # A run of a schedule or a sensor does not say which steps it has: they are all.
    planned = run["stepKeysToExecute"] or [step["key"] for step in (run["executionPlan"] or {"steps": []})["steps"]]
    came = [step["stepKey"] for step in run["stepStats"] if step["stepKey"] not in planned]
    mapped = {key.partition("[")[0] for key in came}
    return [key for key in planned if not key.endswith("[?]") or key.partition("[")[0] not in mapped] + came


def record(
    client: Client, run: Mapping[str, Any], tasks: list[TaskRecord] | None = None, error: str | None = None
) -> RunRecord:
    """Return the record of a run."""
    tags = history.tags_of(run)
    return RunRecord(
        orchestrator="dagster",
        pipeline=pipeline_of(run),
        run_id=run["id"],
        state=STATES[run["status"]],
        cause=next((cause for tag, cause in CAUSES.items() if tag in tags), "manual"),
        partition=tags.get(PARTITION),
        created_at=history.iso(run["creationTime"]),
        started_at=history.iso(run["startTime"]),
        ended_at=history.iso(run["endTime"]),
        tasks=tasks or [],
        error=error,
        url=client.page(run["id"]),
        launched_at=history.iso(run.get("stats", {}).get("launchTime")),
    )


def task_record(run: Mapping[str, Any], key: str, step: Mapping[str, Any] | None) -> TaskRecord:
    """Return what is recorded of one step: None before it began. A killed or canceled one ended with its run."""
    is_ours, ended = pipeline_of(run) == TAXI_PIPELINE.name, run["status"] in ENDED
    task = history.TASK_OF_STEP.get(key, key) if is_ours else key
    if pipeline_of(run) == TAXI_RANGE.name:
        # A mapping key has no hyphen.
        task = re.sub(r"(?<=\[\d{4})_", "-", key)
    if step is None:
        # Of a step that is skipped Dagster records that. It says nothing of one that can't run, except in the log.
        held_back: TaskState = "upstream failed" if run["status"] == "FAILURE" else "skipped"
        return TaskRecord(task, held_back if ended else "queued", 0, ended_at=history.iso(history.said_of(run, key)))
    if is_ours and history.is_skipped(step):
        return TaskRecord(task, "skipped", 0)
    state = STEP_STATES[step["status"]]
    if ended and state in ("running", "failed"):
        state = "canceled" if run["status"] == "CANCELED" else "failed"
    returned = None
    if state == "success":
        returned = receipt(run, task, step) if is_ours else returned_by(run, key, step)
    if returned and returned.get("state") == "unchanged":
        state = "unchanged"
    times = history.iso(step["startTime"]), history.iso(step["endTime"])
    rows = returned.get("rows") if returned else None
    return TaskRecord(task, state, attempts_of(step), *times, rows, returned, created_at(step))


def created_at(step: Mapping[str, Any]) -> str | None:
    """Return when the executor began to start the process of a step; None for a step that is a call in its run."""
    starts = [each["startTime"] for each in step.get("markers") or [] if each["startTime"]]
    return history.iso(min(starts)) if starts else None


def attempts_of(step: Mapping[str, Any]) -> int:
    """Return how often a step began."""
    if step["status"] == "SKIPPED":
        return 0
    # An attempt is listed once it has ended; a step that succeeds at once lists none.
    return len(step["attempts"]) + 1 if step["status"] == "IN_PROGRESS" else max(1, len(step["attempts"]))


def returned_by(run: Mapping[str, Any], key: str, step: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the metadata of what a step materialized, or else of its outputs; None without any."""
    found = history.receipt_of(step) or history.outputs_of(run, key)
    return {name: value for name, value in found.items() if not name.startswith("dagster/")} or None


def receipt(run: Mapping[str, Any], task: str, step: Mapping[str, Any]) -> dict[str, Any]:
    """Return the receipt of a taxi pipeline's step, as far as Dagster keeps it: metadata, or the results of checks."""
    if task != "check":
        return {"task": task, **(returned_by(run, task, step) or {})}
    results = history.evaluations_of(run)
    passed = sum(each["success"] for each in results)
    detail = f"{passed} of {len(results)} checks passed"
    return {"task": task, "state": "success", "detail": detail, "warnings": history.warnings_of(run)}


def cancel(client: Client, _pipeline: str, run_id: str) -> None:
    """Terminate a run that has not ended, as its page does."""

    def attempt() -> None:
        answer = client.once(queries.TERMINATE, {"id": run_id}, "TerminateRunSuccess", "TerminateRunFailure")
        # Dagster terminates no run whose process starts; one that has ended, or is being canceled, stays as it is.
        if answer["__typename"] == "TerminateRunFailure" and answer["run"]["status"] not in (*ENDED, "CANCELING"):
            raise TransientError(f"Dagster can't cancel the run yet: {answer['message']}")

    patiently(attempt, client.patience_s)


def retry(client: Client, _pipeline: str, run_id: str) -> str:
    """Re-execute a run from its failure, as its page does: a new run of the steps that failed or could not run."""
    # It is not repeated: an attempt whose answer was lost may have launched the run.
    params = {"parentRunId": run_id, "strategy": "FROM_FAILURE"}
    return str(client.once(queries.RETRY, {"params": params}, "LaunchRunSuccess")["run"]["id"])


def delete(client: Client, _pipeline: str, run_id: str) -> None:
    """Delete a run with its events, as its page does. One that is gone already is no error."""
    client.one(queries.DELETE, {"id": run_id}, "DeletePipelineRunSuccess", "RunNotFoundError")


def limit(client: Client, wanted: LimitRequest) -> None:
    """Set the limit of a pool; one that was not known before is known from now on."""
    # Its answer is a mere true.
    client.query(queries.LIMIT, {"name": wanted.name, "slots": wanted.slots})


def processes(client: Client, wanted: ProcessesRequest) -> list[ProcessRecord]:
    """Return the services, and the process of each run: it writes down its pid when it starts."""
    services = [ProcessRecord(ROLES[service_of(name)], name, pid) for name, pid in wanted.services.items()]
    found = []
    for run in client.one(queries.PROCESSES, {}, "Runs")["results"]:
        entries = [entry for event in run["eventConnection"]["events"] for entry in event.get("metadataEntries", [])]
        if pids := [int(entry["text"]) for entry in entries if entry["label"] == "pid"]:
            found.append(ProcessRecord("run", "run worker", pids[-1], run["id"]))
    return services + found
