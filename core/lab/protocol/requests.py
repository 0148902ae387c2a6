"""What the lab asks of a runner."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from core.lab.protocol.message import Message
from core.lab.protocol.pipelines import TAXI_PIPELINE
from core.run import DATASET, JOBS, RunParameters


@dataclass(frozen=True, kw_only=True)
class Request(Message):
    """What a verb that needs the services is asked. `endpoint`, an `Endpoint` as JSON, is where they are."""

    endpoint: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StartRequest(Request):
    """A run of `pipeline`, started by hand. A parameter that is not named has its default.

    `at`, in ISO 8601 with an offset, is the date that the run is for: Airflow's logical date, the scheduled time of
    Prefect, or the tick for which Dagster's schedule is asked for its run. It is None for a run that is for no date.
    """

    pipeline: str
    parameters: dict[str, Any]
    month: str | None = None
    at: str | None = None


@dataclass(frozen=True)
class ManyRequest(Request):
    """`count` runs of `pipeline`, none of a month, started by hand one after the other.

    `start_many` starts no further one once `within_s` seconds are over; without a limit for None.
    """

    pipeline: str
    parameters: dict[str, Any]
    count: int
    within_s: float | None = None


@dataclass(frozen=True)
class ScheduleRequest(Request):
    """Whether the schedule of `pipeline` starts runs from now on: a person turns it on, or pauses it."""

    pipeline: str
    active: bool


@dataclass(frozen=True)
class TicksRequest(Request):
    """The past dates of the schedule of `pipeline` from `since` to `until`, both included: ISO 8601 with an offset."""

    pipeline: str
    since: str
    until: str


@dataclass(frozen=True)
class RunRequest(Request):
    """One run, to be canceled, to be deleted, or to be observed for as long as `wait_s` says.

    With 0 it is looked at once; otherwise until it has ended, `wait_s` seconds at most, or without a limit for None.
    """

    pipeline: str
    run_id: str
    wait_s: float | None = 0.0


@dataclass(frozen=True)
class RunIdsRequest(Request):
    """Runs of which only the ids are known, each of one of these `pipelines`: they are tried in this order."""

    run_ids: list[str]
    pipelines: list[str]


@dataclass(frozen=True)
class RunsRequest(Request):
    """The newest `limit` runs of one pipeline, or of all."""

    pipeline: str | None = None
    limit: int = 20


@dataclass(frozen=True)
class LimitRequest(Request):
    """At most `slots` tasks at a time of those that use the pool `name`, from now on.

    It is a pool in Airflow and in Dagster, and a global concurrency limit in Prefect.
    """

    name: str
    slots: int


@dataclass(frozen=True)
class ProcessesRequest(Request):
    """All processes. `services` are the pids of those that the lab started, by the name of the step."""

    services: dict[str, int] = field(default_factory=dict)


Which = Literal["all", "missing", "failed"]
"""Which months a backfill runs: all of them, or those whose last run is missing or has failed, in the orchestrator's
own sense of these words."""


Mode = Literal["runs", "one-run"]
"""How a backfill runs its months: each as a run of its own, or all of them as the mapped steps of one run."""


@dataclass(frozen=True)
class BackfillRequest(Message):
    """A backfill of `months`, in this order, `jobs` of them at a time.

    Each month's run gets the fields of `core.run.RunParameters`; `endpoint` is where the services are. Of another
    `pipeline` than the taxi pipeline, each month's run gets the parameters `values` instead. The result has a record of
    each month that was run: with `which`, of no other. As one run, how many months run at a time is the orchestrator's
    own affair, and `jobs` says nothing.
    """

    months: list[str]
    source: str
    schema: str
    endpoint: dict[str, Any] = field(default_factory=dict)
    strategy: str = "swap"
    force: bool = False
    jobs: int = JOBS
    accept_suspect: bool = False
    strict: bool = False
    dataset: str = DATASET
    pipeline: str = TAXI_PIPELINE.name
    values: dict[str, Any] | None = None
    which: Which = "all"
    mode: Mode = "runs"

    @property
    def parameters(self) -> dict[str, Any]:
        """The run parameters of each month, as the orchestrator passes them on: small, and without a secret."""
        if self.values is not None:
            return self.values
        return {field.name: getattr(self, field.name) for field in fields(RunParameters)}
