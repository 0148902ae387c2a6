"""The verbs for single runs, for a runner whose adapter has a module of functions that use its client."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from core.lab.protocol.records import ProcessList, ProcessRecord, RunList, RunRecord
from core.lab.protocol.requests import (
    LimitRequest,
    ManyRequest,
    ProcessesRequest,
    RunIdsRequest,
    RunRequest,
    RunsRequest,
    StartRequest,
)
from core.lab.protocol.serving import Asked, Progress, Verb, follow, looked_up, with_client

Json = dict[str, Any]
Client = TypeVar("Client")
Client_contra = TypeVar("Client_contra", contravariant=True)


class SingleRuns(Protocol[Client_contra]):
    """What such a module has: ``<orchestrator>_impl/lab/runs.py``."""

    def start(self, client: Client_contra, wanted: StartRequest, /) -> str:
        """Start a run by hand, and return its id."""

    def observed(self, client: Client_contra, pipeline: str, run_id: str, /) -> RunRecord:
        """Return the record of a run, with its tasks; raise `UsageError` when the pipeline has no such run."""

    def newest(self, client: Client_contra, pipeline: str | None, limit: int, /) -> list[RunRecord]:
        """Return the newest runs of a pipeline, or of all."""

    def cancel(self, client: Client_contra, pipeline: str, run_id: str, /) -> None:
        """Cancel a run; one that has ended stays as it is."""

    def retry(self, client: Client_contra, pipeline: str, run_id: str, /) -> str:
        """Run again what failed in a run that has ended; return the id of the run in which that is done."""

    def delete(self, client: Client_contra, pipeline: str, run_id: str, /) -> None:
        """Delete a run that has ended, and what it returned, from the orchestrator's history."""

    def limit(self, client: Client_contra, wanted: LimitRequest, /) -> None:
        """Set how many tasks at a time may use a pool."""

    def processes(self, client: Client_contra, wanted: ProcessesRequest, /) -> list[ProcessRecord]:
        """Return the living processes."""


def run_verbs(
    connected: Callable[[Json], AbstractContextManager[Client]], runs: SingleRuns[Client], every_s: float
) -> dict[str, Verb]:
    """Return the verbs for single runs by name.

    `connected` returns a client of the services at an endpoint, and `every_s` is the pause between two looks at a run.
    """

    def verb(of: type[Asked], act: Callable[[Client, Asked, Progress], object]) -> Verb:
        return with_client(connected, of, act)

    def observe(client: Client, wanted: RunRequest, progress: Progress) -> RunRecord:
        return follow(wanted, lambda: runs.observed(client, wanted.pipeline, wanted.run_id), progress, every_s)

    def look_up(client: Client, wanted: RunIdsRequest, progress: Progress) -> RunList:
        return looked_up(wanted, lambda pipeline, run_id: runs.observed(client, pipeline, run_id), progress)

    def start_many(client: Client, wanted: ManyRequest, progress: Progress) -> Json:
        one, run_ids = StartRequest(wanted.pipeline, wanted.parameters), list[str]()
        end = time.monotonic() + (math.inf if wanted.within_s is None else wanted.within_s)
        while len(run_ids) < wanted.count and time.monotonic() < end:
            run_ids.append(runs.start(client, one))
            progress(run_ids[-1], "running")
        return {"run_ids": run_ids}

    def in_turn(client: Client, wanted: ManyRequest, progress: Progress) -> Json:
        one, run_ids, wall_s = StartRequest(wanted.pipeline, wanted.parameters), list[str](), list[float]()
        for _ in range(wanted.count):
            began = time.perf_counter()
            run_ids.append(runs.start(client, one))
            progress(run_ids[-1], "running")
            # The list of runs: a record has every task, and to ask for all of them would compete with the run.
            while not any(
                run.has_ended for run in runs.newest(client, wanted.pipeline, 1) if run.run_id == run_ids[-1]
            ):
                time.sleep(every_s)
            wall_s.append(round(time.perf_counter() - began, 3))
        # Only now, because the ends of its tasks may arrive after that of a run.
        found = [observe(client, RunRequest(wanted.pipeline, run_id, wait_s=None), progress) for run_id in run_ids]
        return {"runs": [record.to_json() for record in found], "wall_s": wall_s}

    return {
        "start": verb(StartRequest, lambda client, wanted, _: {"run_id": runs.start(client, wanted)}),
        "start_many": verb(ManyRequest, start_many),
        "in_turn": verb(ManyRequest, in_turn),
        "observe": verb(RunRequest, observe),
        "look_up": verb(RunIdsRequest, look_up),
        "runs": verb(
            RunsRequest, lambda client, wanted, _: RunList(runs.newest(client, wanted.pipeline, wanted.limit))
        ),
        "cancel": verb(RunRequest, lambda client, wanted, _: runs.cancel(client, wanted.pipeline, wanted.run_id)),
        "retry": verb(
            RunRequest, lambda client, wanted, _: {"run_id": runs.retry(client, wanted.pipeline, wanted.run_id)}
        ),
        "delete": verb(RunRequest, lambda client, wanted, _: runs.delete(client, wanted.pipeline, wanted.run_id)),
        "limit": verb(LimitRequest, lambda client, wanted, _: runs.limit(client, wanted)),
        "processes": verb(ProcessesRequest, lambda client, wanted, _: ProcessList(runs.processes(client, wanted))),
    }
