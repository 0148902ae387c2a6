"""The runner of Dagster, see `core.lab.protocol`. It starts no service: it asks the running ones for everything."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from core.errors import TransientError
from core.lab.protocol import (
    TAXI_PIPELINE,
    TAXI_RANGE,
    BackfillRequest,
    BackfillResult,
    Description,
    Endpoint,
    MonthRecord,
    Progress,
    Services,
    further,
    month_of_run,
    month_record,
    run_range,
    run_verbs,
    schedule_verbs,
    serve,
)
from core.waiting import until
from dagster_impl.lab import backfill as native
from dagster_impl.lab import history, schedules
from dagster_impl.lab import runs as single
from dagster_impl.lab import services as stack
from dagster_impl.lab.client import Client, missing
from dagster_impl.lab.queries import READY

# 12 s on two quiet cores, 89 s on crowded ones.
READY_S = 240

CAPABILITIES = ["services", "web", "concurrent_backfills", "detached_backfills", "one_run", "survives_worker_kill"]


def describe(_request: dict[str, Any], _progress: Progress) -> Description:
    """Return who this is, without importing Dagster."""
    pipelines = [TAXI_PIPELINE, TAXI_RANGE, *further.pipelines(stack.MODULE)]
    locations = [stack.LOCATION, *([stack.FURTHER] if further.modules(stack.MODULE) else [])]
    ports = [*(stack.PORTS[location] for location in locations), "web"]
    return Description(
        "dagster",
        "Dagster",
        version("dagster"),
        CAPABILITIES,
        ports,
        pipelines=pipelines,
        tuned=stack.TUNED,
        guards=stack.GUARDS,
        scalable=stack.SCALABLE,
    )


def services(request: dict[str, Any], _progress: Progress) -> Services:
    """Return what to start, and in which order."""
    return stack.services(Endpoint.from_json(request))


def ready(request: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    """Return when the daemons have reported and all code locations are loaded; raise naming what is missing."""
    client = connected(request)
    try:
        until(lambda: None if missing(client.query(READY)) else True, READY_S, 0.2, "Dagster")
    except TransientError as error:
        raise TransientError(f"{error}: {missing(client.query(READY))}") from error
    return {}


def backfill(request: dict[str, Any], progress: Progress) -> BackfillResult:
    """Launch one backfill through the daemon, or one run of the range, and wait for its end."""
    started, wanted = time.monotonic(), BackfillRequest.from_json(request)
    client = connected(wanted.endpoint)
    if wanted.mode == "one-run":
        return BackfillResult.of(version("dagster"), started, run_range(client, single, wanted, progress))
    # Dagster would leave out a month that is no partition, without a message.
    months, known = native.chosen(client, wanted)
    ended: native.Records = {}
    if months:
        backfill_id = native.launch(client, wanted, months)
        ended = native.follow(client, backfill_id, wanted, progress, reader(client, wanted.pipeline))
    asked = wanted.months if wanted.which == "all" else months
    records = [ended.get(month) or without_run(month, known) for month in asked]
    return BackfillResult.of(version("dagster"), started, records, [stack.daemon_note()])


def reader(client: Client, pipeline: str) -> native.Reader:
    """Return what makes the record of a month from its runs."""
    if pipeline == TAXI_PIPELINE.name:
        return history.record
    (declared,) = (each for each in further.pipelines(stack.MODULE) if each.name == pipeline)

    def read(month: str, runs: Sequence[Mapping[str, Any]]) -> MonthRecord:
        # The run of a range has no month of its own.
        run = replace(single.observed(client, pipeline, runs[-1]["id"]), partition=month)
        # Its record has all of its steps. A run from failure has none of those before the one that failed.
        return month_of_run(run, replace(declared, tasks=[task.task for task in run.tasks]))

    return read


def connected(endpoint: dict[str, Any]) -> Client:
    """Return a client of the web server that is at `endpoint`."""
    return Client(Endpoint.from_json(endpoint))


def without_run(month: str, known: set[str]) -> MonthRecord:
    """Return the record of a month that got no run."""
    cause = f"Dagster's backfill ended without a run for {month}: see its log in the web page"
    return month_record(month, [], {}, cause if month in known else native.no_partition(month, known))


if __name__ == "__main__":
    verbs = (describe, services, ready, backfill)
    of_runs, of_schedules = run_verbs(connected, single, native.POLL_S), schedule_verbs(connected, schedules)
    sys.exit(serve({verb.__name__: verb for verb in verbs} | of_runs | of_schedules))
