"""What a run is told, and what each of its steps reports. Standard library only: a DAG file imports this when it is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from core.errors import UsageError

TASKS = ("ingest_zones", "ingest_month", "transform", "check")
"""The steps of a month, in order; zones and the month may run side by side. Every tool records them by these names."""

STRATEGIES = ("swap", "delete-append", "overwrite", "upsert")
"""The ways to publish a month; `core.load` says what each costs. Here, because to know the names must not cost Arrow."""


def check_strategy(name: str) -> str:
    """Return `name`; raise `UsageError` when there is no such strategy."""
    if name not in STRATEGIES:
        raise UsageError(f"{name!r} is not a strategy: choose one of {', '.join(STRATEGIES)}")
    return name


def counted(number: int, noun: str) -> str:
    """Return ``1 warning``, ``2 warnings``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class RunParameters:
    """What a user sets for a run: the fields of each orchestrator's form. Small, and without a secret."""

    source: str
    """A folder, an http(s) prefix, a bucket of an object store, or ``tlc``: the publisher."""
    schema: str
    """The PostgreSQL schema that is written."""
    strategy: str = "swap"
    """How a month is published: one of `STRATEGIES`."""
    force: bool = False
    """Load a file again although the ledger shows its bytes as loaded."""
    accept_suspect: bool = False
    """Publish a file that `core.load` would refuse as suspect: rows of another month, no rows, zones missing."""
    strict: bool = False
    """Fail a month for a data test of severity ``warn`` too."""


@dataclass(frozen=True, kw_only=True)
class Run(RunParameters):
    """A run's parameters, and what its orchestrator adds to them: the ledger records both."""

    loader: str
    """The orchestrator's name."""
    run_id: str = ""
    """The run's identifier in the orchestrator's own history."""

    @classmethod
    def of(cls, parameters: Mapping[str, Any], loader: str, run_id: str = "") -> Self:
        """Build from decoded run parameters; raise `UsageError` naming what is missing or unknown."""
        try:
            return cls(**parameters, loader=loader, run_id=run_id)
        except TypeError as error:
            raise UsageError(f"the run parameters are wrong: {error}") from None


@dataclass(frozen=True)
class Receipt:
    """What a step did. `rows`, `bytes`, `source_sha256`, and `digest` are set where the step has them."""

    task: str
    state: str
    month: str | None = None
    rows: int | None = None
    bytes: int | None = None
    source_sha256: str | None = None
    digest: str | None = None
    detail: str | None = None
    warnings: tuple[str, ...] = ()
    """What a person should look at although the step succeeded, one line each."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set: under 1 KB, plus some 200 bytes for each warning."""
        present = {key: value for key, value in asdict(self).items() if value not in (None, ())}
        return present | ({"warnings": list(self.warnings)} if self.warnings else {})
