"""A fourth orchestrator, for the tests: one folder outside the checkout's adapters, and one service of a few lines."""

from __future__ import annotations

import json
import sys
import time
from typing import Any
from urllib.request import Request, urlopen

from toy_impl.lab.run import steps

from core.errors import TriptychError
from core.lab.protocol import (
    TAXI_PIPELINE,
    BackfillRequest,
    BackfillResult,
    Description,
    Endpoint,
    MonthRecord,
    Pipeline,
    ProcessesRequest,
    ProcessList,
    ProcessRecord,
    Progress,
    RunList,
    RunRecord,
    RunRequest,
    RunsRequest,
    Services,
    StartRequest,
    Step,
    TaskRecord,
    follow,
    month_record,
    serve,
)

VERSION = "1.0"

ZONES = Pipeline("zones", ["ingest_zones"], main="ingest_zones", month="none", parameters=TAXI_PIPELINE.parameters)
PIPELINES = [TAXI_PIPELINE, ZONES]

Json = dict[str, Any]


def describe(_: Json, __: Progress) -> Description:
    """Return what the toy is."""
    return Description("toy", "Toy", VERSION, capabilities=["services"], ports=["web"], pipelines=PIPELINES)


def services(data: Json, _: Progress) -> Services:
    """Return the toy's server."""
    port = str(Endpoint.from_json(data).ports["web"])
    url = f"http://127.0.0.1:{port}/"
    return Services(
        {}, [Step(start=[sys.executable, "-m", "toy_impl.lab.server", port], name="web"), Step(wait=url)], web=url
    )


def ready(_: Json, __: Progress) -> Json:
    """Return at once."""
    return {}


def run_month(month: str, request: BackfillRequest, progress: Progress) -> MonthRecord:
    """Run the steps of one month in this process."""
    tasks: list[TaskRecord] = []
    error: str | None = None
    progress(month, "running")
    try:
        tasks.extend(steps(TAXI_PIPELINE, month, request.parameters))
    except TriptychError as problem:
        error = str(problem)
    record = month_record(month, tasks, {task.task: task.returned for task in tasks if task.returned}, error)
    progress(month, record.state)
    return record


def backfill(data: Json, progress: Progress) -> BackfillResult:
    """Run one month after the other."""
    started, request = time.monotonic(), BackfillRequest.from_json(data)
    return BackfillResult.of(VERSION, started, [run_month(month, request, progress) for month in request.months])


def call(endpoint: Json, method: str, path: str, body: Json | None = None) -> Json:
    """Call the toy's server."""
    request = Request(f"http://127.0.0.1:{endpoint['ports']['web']}{path}", json.dumps(body).encode(), method=method)
    with urlopen(request) as answer:
        decoded: Json = json.loads(answer.read())
    return decoded


def runs_of(endpoint: Json) -> list[RunRecord]:
    """Return all runs, oldest first."""
    return RunList.from_json({"runs": call(endpoint, "GET", "/runs")["runs"]}).runs


def start(data: Json, _: Progress) -> Json:
    """Start a run."""
    return call(StartRequest.from_json(data).endpoint, "POST", "/runs", data)


def observe(data: Json, progress: Progress) -> RunRecord:
    """Return the record of a run."""
    request = RunRequest.from_json(data)

    def look() -> RunRecord:
        (run,) = (each for each in runs_of(request.endpoint) if each.run_id == request.run_id)
        return run

    return follow(request, look, progress, 0.05)


def runs(data: Json, _: Progress) -> RunList:
    """Return the newest runs."""
    request = RunsRequest.from_json(data)
    every = [run for run in runs_of(request.endpoint) if request.pipeline in (None, run.pipeline)]
    return RunList(every[::-1][: request.limit])


def cancel(data: Json, _: Progress) -> Json:
    """Cancel a run."""
    request = RunRequest.from_json(data)
    return call(request.endpoint, "DELETE", f"/runs/{request.run_id}")


def delete(data: Json, _: Progress) -> Json:
    """Forget a run."""
    request = RunRequest.from_json(data)
    return call(request.endpoint, "DELETE", f"/history/{request.run_id}")


def processes(data: Json, _: Progress) -> ProcessList:
    """Return the server's process, and those of the runs."""
    request = ProcessesRequest.from_json(data)
    pids = call(request.endpoint, "GET", "/runs")["pids"]
    return ProcessList(
        [ProcessRecord("API", name, pid) for name, pid in request.services.items()]
        + [ProcessRecord("run", "run", pid, run_id) for run_id, pid in pids.items()]
    )


if __name__ == "__main__":
    verbs = (describe, services, ready, backfill, start, observe, runs, cancel, delete, processes)
    sys.exit(serve({verb.__name__: verb for verb in verbs}))
