"""What the lab asks of a runner."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from core.lab.protocol.message import Message
from core.run import JOBS, RunParameters


@dataclass(frozen=True, kw_only=True)
class Request(Message):
    """What a verb that needs the services is asked. `endpoint`, an `Endpoint` as JSON, is where they are."""

    endpoint: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StartRequest(Request):
    """A run of `pipeline`, started by hand. A parameter that is not named has its default."""

    pipeline: str
    parameters: dict[str, Any]
    month: str | None = None


@dataclass(frozen=True)
class RunRequest(Request):
    """One run, to be canceled, to be deleted, or to be observed for as long as `wait_s` says.

    With 0 it is looked at once; otherwise until it has ended, `wait_s` seconds at most, or without a limit for None.
    """

    pipeline: str
    run_id: str
    wait_s: float | None = 0.0


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


@dataclass(frozen=True)
class BackfillRequest(Message):
    """A backfill of `months`, in this order, `jobs` of them at a time.

    Each month's run gets the fields of `core.run.RunParameters`; `endpoint` is where the services are.
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

    @property
    def parameters(self) -> dict[str, Any]:
        """The run parameters of each month, as the orchestrator passes them on: small, and without a secret."""
        return {field.name: getattr(self, field.name) for field in fields(RunParameters)}
