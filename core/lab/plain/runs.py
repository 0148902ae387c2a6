"""The baseline's runs that somebody starts by hand: each is a process that goes on when its runner has answered.

    python -m core.lab.plain.runs HOME RUN_ID PARAMETERS

A run belongs to the baseline's services, as far as it has any: it ends with the last command that uses them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from core.errors import PermanentError, UsageError
from core.lab import processes
from core.lab.plain.month import Recorder, run_month
from core.lab.plain.store import Store, new_id, now, stopped
from core.lab.protocol import (
    TAXI_PIPELINE,
    ProcessesRequest,
    ProcessList,
    Progress,
    RunIdsRequest,
    RunList,
    RunRecord,
    RunRequest,
    RunsRequest,
    StartRequest,
    follow,
    looked_up,
)
from core.month import Month
from core.run import Run
from core.settings import ROOT
from core.waiting import until

POLL_S = 0.2
"""How often a run's file is read."""

BEGIN_S = 60.0
"""How long a process may take to begin its run: an interpreter and some imports."""


def start(data: dict[str, Any], _: Progress) -> dict[str, Any]:
    """Start a process for the run; return once it has begun."""
    request = StartRequest.from_json(data)
    TAXI_PIPELINE.check(request.month, request.parameters)
    month, home = Month.parse(str(request.month)), Path(request.endpoint["home"])
    store, run_id = Store(str(home)), new_id(str(month))
    Run.of(request.parameters, "plain", run_id)
    store.tidy()
    store.save(RunRecord("plain", TAXI_PIPELINE.name, run_id, "queued", "manual", str(month), created_at=now()))
    words = [sys.executable, "-m", __name__, str(home), run_id, json.dumps(request.parameters)]
    child = processes.Child(
        words, name=run_id, env=os.environ, cwd=ROOT, log=store.log(run_id),
        owner=_owner(home, run_id),
    )  # fmt: skip
    begun = until(
        lambda: store.load(run_id).record.state != "queued" or child.returncode(), BEGIN_S, 0.05, f"the run {run_id}"
    )
    child.let_go()
    if begun is not True:
        raise PermanentError(f"the run {run_id} {child.ending()}: {child.last_line()}; see {child.log}")
    return {"run_id": run_id}


def observe(data: dict[str, Any], progress: Progress) -> RunRecord:
    """Return a run's record; wait for its end as long as the request says."""
    request = RunRequest.from_json(data)
    store = Store(request.endpoint["home"])
    return follow(request, lambda: store.read(request.run_id), progress, POLL_S)


def look_up(data: dict[str, Any], progress: Progress) -> RunList:
    """Return the records of those runs that are still kept."""
    request = RunIdsRequest.from_json(data)
    store = Store(request.endpoint["home"])
    return looked_up(request, lambda _, run_id: store.read(run_id), progress)


def runs(data: dict[str, Any], _: Progress) -> RunList:
    """Return the newest runs."""
    request = RunsRequest.from_json(data)
    return RunList(Store(request.endpoint["home"]).newest(request.pipeline, request.limit))


def cancel(data: dict[str, Any], _: Progress) -> dict[str, Any]:
    """End a run's process. Its open transaction rolls back."""
    request = RunRequest.from_json(data)
    home = Path(request.endpoint["home"])
    store = Store(str(home))
    found = store.read(request.run_id)
    if found.has_ended:
        return {}
    if found.cause == "backfill":
        raise UsageError(f"{request.run_id} is a month of a backfill: end the command that runs it")
    processes.end(_owner(home, request.run_id))
    left = store.load(request.run_id).record
    if not left.has_ended:
        store.save(stopped(left, "canceled", now()))
    return {}


def delete(data: dict[str, Any], _: Progress) -> dict[str, Any]:
    """Delete a run's file and its log."""
    request = RunRequest.from_json(data)
    Store(request.endpoint["home"]).delete(request.run_id)
    return {}


def processes_of_runs(data: dict[str, Any], _: Progress) -> ProcessList:
    """Return the processes that execute runs: the baseline has no others."""
    return ProcessList(list(Store(ProcessesRequest.from_json(data).endpoint["home"]).processes()))


def _owner(home: Path, run_id: str) -> Path:
    return home.parent / "services" / run_id


def execute(home: str, run_id: str, parameters: str) -> None:
    """Execute the run."""
    store = Store(home)
    record = store.load(run_id).record
    run = Run.of(json.loads(parameters), "plain", run_id)
    run_month(Month.parse(str(record.partition)), run, Recorder(record, store.save))


if __name__ == "__main__":
    execute(*sys.argv[1:])
