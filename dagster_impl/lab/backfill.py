"""One backfill through Dagster's daemon, from its launch to the end of its last run."""

import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import TriptychError, UsageError
from core.lab.protocol import TAXI_PIPELINE, TAXI_RANGE, BackfillRequest, MonthRecord, Progress, canceled_with_us
from core.month import spans
from core.waiting import patiently, until
from dagster_impl.lab import queries
from dagster_impl.lab.client import Client
from dagster_impl.lab.history import Runs, by_month, is_lost, record, under_way
from dagster_impl.lab.services import FURTHER, LOCATION, MODULE, jobs_tag

REPOSITORY = "__repository__"
"""Dagster's name of what is in the taxi pipeline's code location. In the other one, each has a name of its own."""

# A look costs the web server 30 ms.
POLL_S = 0.25

WAITING = ("NOT_STARTED", "QUEUED")
ENDED = ("SUCCESS", "FAILURE", "CANCELED")

Records = dict[str, MonthRecord]
"""What Dagster recorded of the months that have ended."""


PARTITION_SET = "_partition_set"
"""What Dagster appends to the name of a job to name its partitions."""

Reader = Callable[[str, list[dict[str, Any]]], MonthRecord]
"""Makes a month's record of its runs, oldest first."""


def partitions(client: Client) -> list[str]:
    """Return the months that Dagster knows."""
    asset = client.one(queries.PARTITIONS, {"key": {"path": ["raw_trips"]}}, "AssetNode")
    return [str(key) for key in asset["partitionKeys"]]


def repository_of(client: Client, job: str) -> dict[str, str]:
    """Return where the job of a pipeline is; raise `UsageError` when there is none of its name."""
    if job in (TAXI_PIPELINE.name, TAXI_RANGE.name):
        # A web server that has just restarted lists no repository.
        return {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}
    for repository in client.one(queries.REPOSITORIES, {}, "RepositoryConnection")["nodes"]:
        if repository["location"]["name"] == FURTHER and {"name": job} in repository["pipelines"]:
            return {"repositoryLocationName": FURTHER, "repositoryName": repository["name"]}
    raise UsageError(f"Dagster has no job {job!r}: is there one in a module {MODULE}?")


def job_statuses(client: Client, job: str) -> dict[str, str | None]:
    """Return the partitions of a job, each with the status of its last run; None for one without a run."""
    named = {"repository": repository_of(client, job), "name": f"{job}{PARTITION_SET}"}
    partition_set = client.one(queries.PARTITION_STATUSES, named, "PartitionSet")
    statuses = partition_set["partitionStatusesOrError"]["results"]
    return {str(each["partitionName"]): each["runStatus"] for each in statuses}


def chosen(client: Client, wanted: BackfillRequest) -> tuple[list[str], set[str]]:
    """Return the months to run, and all partitions there are.

    Dagster's backfills take a list: its own page, too, asks for the statuses and leaves out what is not wanted. Raise
    `UsageError` for some months of the taxi pipeline: a status does not tell in which schema a month is missing.
    """
    if wanted.pipeline == TAXI_PIPELINE.name:
        if wanted.which != "all":
            raise UsageError("in Dagster, a backfill of the taxi pipeline runs all the months that it names")
        known = set(partitions(client))
        return [month for month in wanted.months if month in known], known
    last = job_statuses(client, wanted.pipeline)
    months = [month for month in wanted.months if month in last]
    if wanted.which != "all":
        status = "FAILURE" if wanted.which == "failed" else None
        months = [month for month in months if last[month] == status]
    return months, set(last)


def no_partition(month: str | None, known: set[str]) -> str:
    """Return why a month can't be run."""
    return f"{month} is no partition: Dagster's months end with the last complete one, {max(known)}"


def launch(client: Client, wanted: BackfillRequest, months: list[str]) -> str:
    """Launch a backfill of `months` of the pipeline's job, and return its id."""
    tag = {"key": jobs_tag(wanted.jobs), "value": uuid.uuid4().hex}
    schema = [{"key": "schema", "value": wanted.schema}] if wanted.schema else []
    params = {
        "selector": {
            "partitionSetName": f"{wanted.pipeline}{PARTITION_SET}",
            "repositorySelector": repository_of(client, wanted.pipeline),
        },
        "partitionNames": months,
        # Their runs then begin at the step that failed, as when a backfill's page re-executes it from failure.
        "fromFailure": wanted.which == "failed",
        "title": f"{spans(months)} -> {wanted.schema or wanted.pipeline}",
        "tags": [tag, *schema],
        "runConfigData": as_resource(wanted.parameters),
    }

    def attempt() -> str:
        # An earlier attempt whose answer was lost may have launched the backfill: then one has our tag.
        if ours := client.one(queries.BACKFILLS, {"tag": tag}, "RunsFeedConnection")["results"]:
            return str(ours[0]["id"])
        return str(client.once(queries.LAUNCH, {"params": params}, "LaunchBackfillSuccess")["backfillId"])

    return patiently(attempt, client.patience_s)


def as_resource(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run config that passes parameters on as a resource: a job with partitions takes no config mapping."""
    return {"resources": {"parameters": {"config": dict(parameters)}}} if parameters else {}


def follow(
    client: Client, backfill_id: str, wanted: BackfillRequest, progress: Progress, reader: Reader = record
) -> Records:
    """Report progress until the backfill is done and all of its runs have ended; return the records of its months."""
    watch = Watch(client, backfill_id, len(wanted.months), progress, reader)
    with canceled_with_us(lambda: client.one(queries.CANCEL, {"id": backfill_id}, "CancelBackfillSuccess")):
        return until(
            lambda: patiently(watch.look, client.patience_s), math.inf, POLL_S, f"Dagster's backfill {backfill_id}"
        )


@dataclass
class Watch:
    """What is known of a running backfill."""

    client: Client
    backfill_id: str
    months: int
    progress: Progress
    reader: Reader = record
    records: Records = field(default_factory=dict)
    recorded: dict[str, str] = field(default_factory=dict)
    """The id of the last run that each record was made from."""
    retried: set[str] = field(default_factory=set)

    def look(self) -> Records | None:
        """Report what has changed since the last look; return the records once the backfill and its runs have ended."""
        # A month has one run, and one more for each retry of a killed process (`run_retries` in services.py).
        variables = {"id": self.backfill_id, "limit": 3 * self.months}
        answer = self.client.one(queries.PROGRESS, variables, "PartitionBackfill")
        runs = by_month(answer["runs"])
        steps = self.steps([attempts[-1] for attempts in runs.values() if attempts[-1]["status"] == "STARTED"])
        for month, attempts in runs.items():
            self.report(month, attempts, steps.get(attempts[-1]["id"], {}))
        if answer["status"] == "FAILED":
            cause = (answer["error"] or {}).get("message")
            raise TriptychError(f"Dagster's backfill {self.backfill_id} failed: {cause}")
        if not answer["status"].startswith(("COMPLETED", "CANCELED")):
            return None
        # Not in a backfill that a user has canceled.
        if answer["status"] == "COMPLETED_FAILED" and self.retry_lost(runs):
            return None
        return self.records if self.records.keys() == runs.keys() else None

    def steps(self, runs: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
        """Return, for each of `runs` by its id, the attempt of each step that is under way."""
        if not runs:
            return {}
        answer = self.client.one(queries.STEPS, {"ids": [run["id"] for run in runs]}, "Runs")
        return {run["id"]: under_way(run) for run in answer["results"]}

    def report(self, month: str, attempts: list[dict[str, Any]], steps: dict[str, int]) -> None:
        """Report the state of a month's last run: its `steps` under way or, when it has ended, the month's record."""
        last = attempts[-1]
        if last["status"] not in ENDED:
            # A run that is retried had a record of its own.
            self.records.pop(month, None)
            self.progress(month, "waiting" if last["status"] in WAITING else "running", under_way=steps)
        elif self.recorded.get(month) != last["id"]:
            whole = [run | self.client.one(queries.RUN, {"id": run["id"]}, "Run") for run in attempts]
            self.records[month], self.recorded[month] = self.reader(month, whole), last["id"]
            self.progress(month, self.records[month].state, record=self.records[month])

    def retry_lost(self, runs: Runs) -> bool:
        """Retry each run that Dagster announced a retry of, and did not retry; return whether there was one."""
        lost = {attempts[-1]["id"] for attempts in runs.values() if is_lost(attempts[-1])} - self.retried
        for run_id in lost:
            self.retry(run_id)
            # After the call: if its answer was lost, the next look shows the retry, or asks for it again.
            self.retried.add(run_id)
        return bool(lost)

    def retry(self, run_id: str) -> None:
        """Retry a run, as a run of the same backfill.

        Dagster marks a killed run as failed, and only then as one to be retried. When the backfill's daemon looks in
        between, the backfill is done, and the retry is refused because it is. Seen in one of five kills on a busy
        machine.
        """
        # Without the tag the new run belongs to no backfill.
        tags = [{"key": "dagster/backfill", "value": self.backfill_id}]
        params = {"parentRunId": run_id, "strategy": "FROM_FAILURE", "extraTags": tags}
        self.client.once(queries.RETRY, {"params": params}, "LaunchRunSuccess")
