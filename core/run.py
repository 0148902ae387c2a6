"""What a run is told, and what each of its steps reports.

Standard library only: DAG files import this module when they are parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, Self, get_args, get_type_hints

from core import datasets
from core.errors import UsageError

TASKS = ("ingest_zones", "ingest_month", "transform", "check", "report")
"""The steps of a month, in order; the first two may run side by side. Every orchestrator records these names.

`transform` and `check` are skipped when `core.pipeline.pending` finds nothing for them to do.
"""

StrategyName = Literal["swap", "delete-append", "overwrite", "upsert"]

STRATEGIES: tuple[StrategyName, ...] = get_args(StrategyName)
"""The ways to publish a month; `core.load` says what each costs. Here, because the names must not cost Arrow."""

DATASETS = datasets.monthly()
"""What a run can load: every monthly dataset that `core.datasets` declares."""

# A form and the command line read the choices from the annotation; mypy wants them written out, here and for each new
# dataset.
if TYPE_CHECKING:
    DatasetName = str
else:
    DatasetName = Literal[DATASETS]

DATASET: DatasetName = "green"
"""What a run that names no dataset loads."""

JOBS = 2
"""How many months a backfill loads at a time, per orchestrator, unless the user says otherwise."""

TASK_TIMEOUT_S = 7200
"""How long one attempt at a task may take. A download has 1,800 s and a lock 300 s; the rest is for a load and a build
on a busy database. An attempt that takes longer hangs."""


def check_strategy(name: str) -> StrategyName:
    """Return `name`; raise `UsageError` when there is no such strategy."""
    if name not in STRATEGIES:
        raise UsageError(f"{name!r} is not a strategy: choose one of {', '.join(STRATEGIES)}")
    return name


def counted(number: int, noun: str) -> str:
    """Return ``1 warning``, ``2 warnings``, ``2 processes``."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def described(text: str) -> Mapping[str, str]:
    """Return the metadata of a field that means `text`, under the name from which pydantic takes a form's text."""
    return {"description": text}


@dataclass(frozen=True)
class RunParameters:
    """What a user sets for a run: the fields of each orchestrator's form. Small, and without a secret."""

    source: str = field(
        metadata=described(
            "sample (generated), tlc (the publisher), a folder, an http(s) prefix, or a bucket (s3://, az://, gs://)"
        )
    )
    schema: str = field(metadata=described("The PostgreSQL schema that is written"))
    strategy: StrategyName = field(default="swap", metadata=described("How a month is published"))
    force: bool = field(
        default=False, metadata=described("Load a file again even when the ledger shows the same bytes as loaded")
    )
    accept_suspect: bool = field(
        default=False, metadata=described("Publish a file that looks wrong, such as one with rows of another month")
    )
    strict: bool = field(default=False, metadata=described("Fail a month for a warning of a data test too"))
    dataset: DatasetName = field(
        default=DATASET, metadata=described("Which dataset is loaded. A schema holds one of them")
    )


HELP: Mapping[str, str] = {each.name: each.metadata["description"] for each in fields(RunParameters)}
"""What each run parameter means, as every form and the command line show it."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    name: get_args(kind) for name, kind in get_type_hints(RunParameters).items() if get_args(kind)
}
"""The values that a run parameter can have, for those that are a choice."""


def own_schema(loader: str, dataset: str) -> str:
    """Return the schema of `dataset` that an orchestrator writes unless it is told another one."""
    return loader if dataset == DATASET else f"{loader}_{dataset}"


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
