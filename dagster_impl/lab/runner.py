"""The runner of Dagster, see `core.lab.protocol`. It starts no service: it asks the running ones for everything."""

import sys
import time
from importlib.metadata import version
from typing import Any

from core.errors import TransientError
from core.lab.protocol import (
    BackfillRequest,
    BackfillResult,
    Description,
    Endpoint,
    MonthRecord,
    Progress,
    Services,
    month_record,
    serve,
)
from core.waiting import until
from dagster_impl.lab.backfill import follow, launch, partitions
from dagster_impl.lab.client import Client, missing
from dagster_impl.lab.queries import READY
from dagster_impl.lab.services import daemon_note, services

# 12 s on two quiet cores, 89 s on crowded ones.
READY_S = 240

CAPABILITIES = ["services", "web", "concurrent_backfills", "detached_backfills", "survives_worker_kill"]


def describe(_request: dict[str, Any], _progress: Progress) -> Description:
    """Return who this is, without importing Dagster."""
    return Description("dagster", "Dagster", version("dagster"), CAPABILITIES, ["code", "web"])


def start(request: dict[str, Any], _progress: Progress) -> Services:
    """Return what to start, and in which order."""
    return services(Endpoint.from_json(request))


def ready(request: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    """Return when the daemons have reported and the code location is loaded; raise naming what is missing."""
    client = Client(Endpoint.from_json(request))
    try:
        until(lambda: None if missing(client.query(READY)) else True, READY_S, 0.2, "Dagster")
    except TransientError as error:
        raise TransientError(f"{error}: {missing(client.query(READY))}") from error
    return {}


def backfill(request: dict[str, Any], progress: Progress) -> BackfillResult:
    """Launch one backfill through the daemon, and wait for its end."""
    started, wanted = time.monotonic(), BackfillRequest.from_json(request)
    client = Client(Endpoint.from_json(wanted.endpoint))
    # Dagster would leave out a month that is no partition, without a message.
    known = set(partitions(client))
    months = [month for month in wanted.months if month in known]
    ended = follow(client, launch(client, wanted, months), wanted, progress) if months else {}
    records = [ended.get(month) or _without_run(month, known) for month in wanted.months]
    return BackfillResult.of(version("dagster"), started, records, [daemon_note()])


def _without_run(month: str, known: set[str]) -> MonthRecord:
    cause = f"Dagster's backfill ended without a run for {month}: see its log in the web page"
    if month not in known:
        cause = f"{month} is no partition: Dagster's months end with the last complete one, {max(known)}"
    return month_record(month, [], {}, cause)


if __name__ == "__main__":
    sys.exit(serve({"describe": describe, "services": start, "ready": ready, "backfill": backfill}))
