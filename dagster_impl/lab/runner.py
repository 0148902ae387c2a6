"""The runner of Dagster, see `core.lab.protocol`. It starts no service: it asks the running ones for everything."""

import sys
import time
from importlib.metadata import version
from typing import Any

from core.errors import TransientError, UsageError
from core.lab.protocol import (
    BackfillRequest,
    BackfillResult,
    Description,
    Endpoint,
    MonthRecord,
    ProcessesRequest,
    ProcessList,
    Progress,
    RunList,
    RunRecord,
    RunRequest,
    RunsRequest,
    Services,
    StartRequest,
    follow,
    month_record,
    serve,
)
from core.waiting import until
from dagster_impl.lab import backfill as native
from dagster_impl.lab import runs as single
from dagster_impl.lab import services as stack
from dagster_impl.lab.client import Client, missing
from dagster_impl.lab.queries import READY

# 12 s on two quiet cores, 89 s on crowded ones.
READY_S = 240

CAPABILITIES = ["services", "web", "concurrent_backfills", "detached_backfills", "survives_worker_kill"]


def describe(_request: dict[str, Any], _progress: Progress) -> Description:
    """Return who this is, without importing Dagster."""
    return Description("dagster", "Dagster", version("dagster"), CAPABILITIES, ["code", "web"])


def services(request: dict[str, Any], _progress: Progress) -> Services:
    """Return what to start, and in which order."""
    return stack.services(Endpoint.from_json(request))


def ready(request: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    """Return when the daemons have reported and the code location is loaded; raise naming what is missing."""
    client = connected(request)
    try:
        until(lambda: None if missing(client.query(READY)) else True, READY_S, 0.2, "Dagster")
    except TransientError as error:
        raise TransientError(f"{error}: {missing(client.query(READY))}") from error
    return {}


def backfill(request: dict[str, Any], progress: Progress) -> BackfillResult:
    """Launch one backfill through the daemon, and wait for its end."""
    started, wanted = time.monotonic(), BackfillRequest.from_json(request)
    client = connected(wanted.endpoint)
    # Dagster would leave out a month that is no partition, without a message.
    known = set(native.partitions(client))
    months = [month for month in wanted.months if month in known]
    ended = native.follow(client, native.launch(client, wanted, months), wanted, progress) if months else {}
    records = [ended.get(month) or without_run(month, known) for month in wanted.months]
    return BackfillResult.of(version("dagster"), started, records, [stack.daemon_note()])


def start(request: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    """Materialize the assets of one month, as the web page does."""
    wanted = StartRequest.from_json(request)
    client = connected(wanted.endpoint)
    # Dagster would start a run, which would then fail.
    if wanted.month not in (known := set(native.partitions(client))):
        raise UsageError(no_partition(wanted.month, known))
    return {"run_id": single.start(client, wanted)}


def observe(request: dict[str, Any], progress: Progress) -> RunRecord:
    """Return a run's record; wait for its end as long as the request says."""
    wanted = RunRequest.from_json(request)
    client = connected(wanted.endpoint)
    return follow(wanted, lambda: single.observed(client, wanted.run_id), progress, native.POLL_S)


def runs(request: dict[str, Any], _progress: Progress) -> RunList:
    """Return the newest runs."""
    wanted = RunsRequest.from_json(request)
    return RunList(single.newest(connected(wanted.endpoint), wanted.pipeline, wanted.limit))


def cancel(request: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    """Cancel a run."""
    wanted = RunRequest.from_json(request)
    single.cancel(connected(wanted.endpoint), wanted.run_id)
    return {}


def processes(request: dict[str, Any], _progress: Progress) -> ProcessList:
    """Return the living processes."""
    wanted = ProcessesRequest.from_json(request)
    return ProcessList(single.processes(connected(wanted.endpoint), wanted))


def connected(endpoint: dict[str, Any]) -> Client:
    """Return a client of the web server that is at `endpoint`."""
    return Client(Endpoint.from_json(endpoint))


def without_run(month: str, known: set[str]) -> MonthRecord:
    """Return the record of a month that got no run."""
    cause = f"Dagster's backfill ended without a run for {month}: see its log in the web page"
    return month_record(month, [], {}, cause if month in known else no_partition(month, known))


def no_partition(month: str | None, known: set[str]) -> str:
    """Return why a month can't be run."""
    return f"{month} is no partition: Dagster's months end with the last complete one, {max(known)}"


if __name__ == "__main__":
    verbs = (describe, services, ready, backfill, start, observe, runs, cancel, processes)
    sys.exit(serve({verb.__name__: verb for verb in verbs}))
