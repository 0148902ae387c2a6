"""One backfill, from the asking to its last run."""

import math
import uuid
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from core.errors import TriptychError
from core.lab.protocol import BackfillRequest, MonthRecord, Progress, canceled_with_us
from core.waiting import patiently, until
from dagster_impl.lab import client as api
from dagster_impl.lab import history, services
from dagster_impl.lab.history import month_of, tags_of

ASSETS = ("raw_zones", "raw_trips", "stg_trips", "stg_zones", "fct_trips", "daily_borough_stats")
POLL_S = 1.0  # a look costs the web server 30 ms
WAITING = ("NOT_STARTED", "QUEUED")
ENDED = ("SUCCESS", "FAILURE", "CANCELED")

Runs = dict[str, list[dict[str, Any]]]
"""The runs of each month, oldest first: more than one when a process was killed and its run tried again."""

Records = dict[str, MonthRecord]
"""What Dagster recorded of the months that are over."""


def partitions(client: api.Client) -> list[str]:
    """The months that Dagster knows."""
    asset = client.one(api.PARTITIONS, {"key": {"path": ["raw_trips"]}}, "AssetNode")
    return [str(key) for key in asset["partitionKeys"]]


def launch(client: api.Client, wanted: BackfillRequest, months: list[str]) -> str:
    """Ask for `months` of all six assets; return the backfill's id.

    An attempt whose answer was lost may have been heard: the backfill that it made has our tag.
    """
    tag = {"key": services.jobs_tag(wanted.jobs), "value": uuid.uuid4().hex}
    params = {
        "assetSelection": [{"path": [asset]} for asset in ASSETS],
        "partitionNames": months,
        "title": f"{len(months)} months into {wanted.schema}",
        "tags": [tag],
        "runConfigData": {"resources": {"parameters": {"config": wanted.parameters}}},
    }

    def ask() -> str:
        newest = client.one(api.BACKFILLS, {"limit": 20}, "PartitionBackfills")["results"]
        if ours := [one["id"] for one in newest if tag in one["tags"]]:
            return str(ours[0])
        return str(client.once(api.LAUNCH, {"params": params}, "LaunchBackfillSuccess")["backfillId"])

    return patiently(ask, client.patience_s)


def follow(client: api.Client, backfill_id: str, wanted: BackfillRequest, progress: Progress) -> Records:
    """Report progress until the daemon calls the backfill done and no run is left; return the records of its months."""
    # a month's run and its retries, see run_retries in `instance`
    variables = {"id": backfill_id, "limit": 3 * len(wanted.months)}
    asked: set[str] = set()
    records: Records = {}
    read: dict[str, str] = {}

    def look() -> Records | None:
        answer = client.one(api.PROGRESS, variables, "PartitionBackfill")
        runs = _by_month(answer["runs"])
        for month, tries in runs.items():
            last = tries[-1]
            if last["status"] not in ENDED:
                records.pop(month, None)  # that of a run that is tried again
                progress(month, "waiting" if last["status"] in WAITING else "running")
            elif read.get(month) != last["id"]:
                records[month], read[month] = history.record(month, [_whole(client, run) for run in tries]), last["id"]
                progress(month, records[month].state, record=records[month])
        if answer["status"] == "FAILED":
            raise TriptychError(f"Dagster's backfill {backfill_id} failed: {(answer['error'] or {}).get('message')}")
        if not answer["status"].startswith(("COMPLETED", "CANCELED")):
            return None
        lost = {tries[-1]["id"] for tries in runs.values() if is_lost(tries[-1])} - asked
        if lost and answer["status"] == "COMPLETED_FAILED":  # not one that a user canceled
            for run_id in lost:
                retry(client, backfill_id, run_id)
                asked.add(run_id)
            return None
        return records if records.keys() == runs.keys() else None

    with canceled_with_us(lambda: client.one(api.CANCEL, {"id": backfill_id}, "CancelBackfillSuccess")):
        # a retry whose answer was lost shows in the next look, or is asked for again
        return until(lambda: patiently(look, client.patience_s), math.inf, POLL_S, f"Dagster's backfill {backfill_id}")


def _whole(client: api.Client, run: dict[str, Any]) -> dict[str, Any]:
    """A run with its steps and events."""
    return run | client.one(api.RUN, {"id": run["id"]}, "Run")


def _by_month(runs: list[dict[str, Any]]) -> Runs:
    months: Runs = defaultdict(list)
    for run in sorted(runs, key=lambda run: float(run["creationTime"])):
        months[month_of(run)].append(run)
    return months


def retry(client: api.Client, backfill_id: str, run_id: str) -> None:
    """Start the retry of a run that Dagster lost, as a run of the same backfill.

    Dagster marks a killed run as failed, and only then as one to be tried again. When the backfill's daemon looks in
    between, it calls the backfill done, and the retry is refused because it is. Seen in one of five kills on a busy machine.
    """
    tags = [{"key": "dagster/backfill", "value": backfill_id}]  # without it the new run belongs to no backfill
    params = {"parentRunId": run_id, "strategy": "FROM_FAILURE", "extraTags": tags}
    client.once(api.RETRY, {"params": params}, "LaunchRunSuccess")


def is_lost(run: Mapping[str, Any]) -> bool:
    """Whether Dagster announced another try of a failed run, and did not make it."""
    tags = tags_of(run)
    return (
        run["status"] == "FAILURE"
        and tags.get("dagster/will_retry") == "true"
        and "dagster/auto_retry_run_id" not in tags
    )
