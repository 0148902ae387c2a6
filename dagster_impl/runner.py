"""Dagster's side of the runner contract (`core.contract`): it starts nothing, and asks the services for everything."""

import sys
import time
from importlib.metadata import version
from typing import Any

from core.contract import (
    BackfillRequest,
    BackfillResult,
    Description,
    Endpoint,
    MonthRecord,
    Progress,
    Services,
    month_record,
    reported,
    serve,
    until,
)
from core.errors import TransientError, TriptychError
from dagster_impl import backfills, graphql, instance

READY_S = 240  # 12 s on two quiet cores, 89 s on crowded ones
CAPABILITIES = [
    "services",
    "web",
    "native_backfill",
    "native_partitions",
    "concurrent_backfills",
    "asset_lineage",
    "asset_checks",
    "per_month_retry",
    "survives_worker_kill",
]


def describe(_request: dict[str, Any], _progress: Progress) -> Description:
    """Who this is, without importing Dagster."""
    return Description("dagster", "Dagster", version("dagster"), CAPABILITIES, ["code", "web"])


def services(request: dict[str, Any], _progress: Progress) -> Services:
    """What to start, and in which order."""
    return instance.services(Endpoint.from_json(request))


def ready(request: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    """Return when the daemons have reported and the code location is loaded; raise naming what is missing."""
    client = graphql.Client(Endpoint.from_json(request))
    try:
        until(lambda: None if graphql.missing(client.query(graphql.READY)) else True, READY_S, 0.2, "Dagster")
    except TransientError as error:
        raise TransientError(f"{error}: {graphql.missing(client.query(graphql.READY))}") from error
    return {}


def backfill(request: dict[str, Any], progress: Progress) -> BackfillResult:
    """Launch one backfill through the daemon, and wait for its end.

    When that fails on the way, months whose end was seen are reported as they ended, and the others as failed.
    """
    started, wanted = time.monotonic(), BackfillRequest.from_json(request)
    client = graphql.Client(Endpoint.from_json(wanted.endpoint))
    # A month that is no partition would be left out without a word.
    known = set(backfills.partitions(client))
    months = [month for month in wanted.months if month in known]
    records = {month: _no_partition(month, max(known)) for month in wanted.months if month not in known}
    cause = "Dagster's backfill ended without a run for this month: see its log in the web page"
    try:
        if months:
            backfills.follow(client, backfills.launch(client, wanted, months), wanted, progress, records)
    except TriptychError as error:
        cause = str(error)
    records_in_order = reported(wanted.months, records, cause)
    return BackfillResult.of(version("dagster"), started, records_in_order, [instance.daemon_note()])


def _no_partition(month: str, last: str) -> MonthRecord:
    cause = f"{month} is no partition: Dagster's months end with the last complete one, {last}"
    return month_record(month, [], {}, cause)


if __name__ == "__main__":
    sys.exit(serve({"describe": describe, "services": services, "ready": ready, "backfill": backfill}))
