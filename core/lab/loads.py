"""Who loaded a month: each publication in the ledgers, joined with what the orchestrator recorded of its run.

The ledger is in the transaction of the rows, and says what was loaded. An orchestrator may have lost its history, may
not run now, or may be another checkout's: then the publication is known, and its run is not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from core import ledger
from core.database import Connection
from core.errors import TriptychError
from core.lab.history import Reached, newest, reach
from core.lab.protocol import TAXI_PIPELINE, RunIdsRequest, RunList, RunRecord, RunsRequest, TaskRecord
from core.lab.registry import Orchestrator
from core.ledger import Entry
from core.settings import Settings

NEWEST = 200
"""How many of an orchestrator's newest runs are searched for those that loaded nothing."""

UNNAMED = "loaded without a run id"
STRANGE = "no such orchestrator here"
NO_ENVIRONMENT = "it has no environment: run `make setup`"
GONE = "no record of its run: deleted, or of another state folder"


@dataclass(frozen=True)
class Load:
    """One publication. `run` is what its orchestrator recorded, or None, and then `unknown` says why."""

    schema: str
    entry: Entry
    is_current: bool
    run: RunRecord | None = None
    unknown: str | None = None

    @property
    def month(self) -> str | None:
        """The month, or None for a lookup."""
        return f"{self.entry.month:%Y-%m}" if self.entry.month else None

    @property
    def key(self) -> tuple[str, str]:
        """Its orchestrator and its run's id."""
        return self.entry.loader, self.entry.run_id

    @property
    def step(self) -> TaskRecord | None:
        """The step of the run that loaded it, where the orchestrator recorded one."""
        name = TAXI_PIPELINE.main if self.month else f"ingest_{self.entry.dataset}"
        tasks = {task.task: task for task in self.run.tasks} if self.run else {}
        # In a run of many months, the step has an instance for each.
        return tasks.get(f"{name}[{self.month}]", tasks.get(name))

    def to_json(self) -> dict[str, Any]:
        """Return the ledger's facts, and then those of the run."""
        step = self.step
        return {
            "schema": self.schema,
            **self.entry.to_json(),
            "is_current": self.is_current,
            "attempts": step.attempts if step else None,
            "run": self.run.to_json() if self.run else None,
            "unknown": self.unknown,
        }


@dataclass(frozen=True)
class Loads:
    """Publications with their runs."""

    loads: list[Load]
    missing: list[str] = field(default_factory=list)
    """The months that were asked for, and have none."""
    idle: list[RunRecord] = field(default_factory=list)
    """The runs of these months that loaded nothing, newest first."""
    failed: list[str] = field(default_factory=list)
    """The orchestrators that were asked, and did not answer: a line each."""

    def to_json(self) -> dict[str, Any]:
        """Return what ``history --json`` writes."""
        return {
            "loads": [each.to_json() for each in self.loads],
            "not_loaded": self.missing,
            "loaded_nothing": [run.to_json() for run in self.idle],
        }


@dataclass(frozen=True)
class _Answer:
    """What one orchestrator said: its runs by id, or why it said nothing."""

    runs: Mapping[str, RunRecord] = field(default_factory=dict)
    newest: Sequence[RunRecord] = ()
    unknown: str = GONE
    failed: str | None = None


def read(connection: Connection, schemas: Iterable[str]) -> list[Load]:
    """Return every publication that the ledgers of `schemas` hold: by dataset and month, the oldest first."""
    return [
        Load(schema, each.entry, each.is_current)
        for schema in schemas
        for each in ledger.publications(connection, schema)
    ]


def joined(
    settings: Settings,
    chosen: Sequence[Load],
    every: Iterable[Load],
    months: Collection[str] | None,
    known: Mapping[str, Orchestrator],
    asked: Collection[str],
) -> Loads:
    """Return the `chosen` publications with their runs. Nothing is started to ask for them.

    Of the orchestrators `asked`, it also returns the runs that made none of `every` publication: runs of `months`, or
    of the months that were chosen. `known` are all orchestrators by name.
    """
    loaded = {load.month for load in chosen if load.month}
    wanted = loaded if months is None else months
    ids: dict[str, list[str]] = {name: [] for name in asked}
    for load in chosen:
        if load.entry.run_id and load.entry.run_id not in ids.setdefault(load.entry.loader, []):
            ids[load.entry.loader].append(load.entry.run_id)
    with ThreadPoolExecutor(max(1, len(ids))) as pool:
        found = pool.map(lambda name: _ask(settings, known.get(name), ids[name]), ids)
        answers = dict(zip(ids, found, strict=True))
    made = {load.key for load in every}
    idle = [
        run
        for name in asked
        for run in answers[name].newest
        if run.partition in wanted and (run.orchestrator, run.run_id) not in made
    ]
    return Loads(
        [_with_run(load, answers.get(load.entry.loader, _Answer())) for load in chosen],
        [month for month in wanted if month not in loaded],
        newest(idle, len(idle)),
        [f"{name}: {answer.failed}" for name, answer in answers.items() if answer.failed],
    )


def _with_run(load: Load, answer: _Answer) -> Load:
    if run := answer.runs.get(load.entry.run_id):
        return replace(load, run=run)
    return replace(load, unknown=answer.unknown if load.entry.run_id else UNNAMED)


def _ask(settings: Settings, orchestrator: Orchestrator | None, run_ids: list[str]) -> _Answer:
    """Return what an orchestrator recorded of these runs, and its newest ones."""
    if orchestrator is None:
        return _Answer(unknown=STRANGE)
    if not orchestrator.python.exists():
        return _Answer(unknown=NO_ENVIRONMENT)
    try:
        reached = reach(settings, orchestrator, "look_up", "runs")
        if isinstance(reached, Reached):
            return _Answer(_looked_up(reached, run_ids), _newest(reached))
        return _Answer(unknown=reached or GONE)
    except TriptychError as error:
        return _Answer(unknown="it did not answer", failed=str(error))


def _looked_up(reached: Reached, run_ids: list[str]) -> dict[str, RunRecord]:
    if not run_ids:
        return {}
    # The taxi pipeline is the first of them.
    names = [pipeline.name for pipeline in reached.description.pipelines]
    found = RunList.from_json(reached.ask("look_up", RunIdsRequest(run_ids, names))).runs
    return {run.run_id: run for run in found}


def _newest(reached: Reached) -> list[RunRecord]:
    return RunList.from_json(reached.ask("runs", RunsRequest(TAXI_PIPELINE.name, NEWEST))).runs
