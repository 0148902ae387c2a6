"""The runs of all orchestrators, as far as they can be asked now: nothing is started for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import TriptychError
from core.lab import driver
from core.lab.protocol import Description, Endpoint, Request, RunList, RunRecord, RunsRequest
from core.lab.registry import Orchestrator
from core.lab.running import Running
from core.settings import Settings, state_folder

CALL_S = 120.0
"""How long an orchestrator's services may take to list their runs."""


@dataclass(frozen=True)
class History:
    """Runs, newest first; and a line for each orchestrator that could not be asked."""

    runs: list[RunRecord] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    """Those whose services do not run, or whose runner lacks the verb."""
    failed: list[str] = field(default_factory=list)
    """Those that were asked, and did not answer."""


@dataclass(frozen=True)
class Reached:
    """An orchestrator that can be asked now."""

    settings: Settings
    orchestrator: Orchestrator
    description: Description
    endpoint: Endpoint

    def ask(self, verb: str, request: Request) -> dict[str, Any]:
        """Return the answer of one verb; `endpoint` is filled in."""
        folder = self.settings.home / self.orchestrator.name
        return driver.call(
            self.orchestrator, verb, replace(request, endpoint=self.endpoint.to_json()), folder=folder,
            env=driver.environment(self.settings, self.orchestrator, folder / "home", dsn=None), stall_s=CALL_S,
        )  # fmt: skip


def reach(settings: Settings, orchestrator: Orchestrator, *verbs: str) -> Reached | str | None:
    """Return the orchestrator if it can be asked for `verbs`, and otherwise why not; None when it has never run here.

    Nothing is started.
    """
    name, folder = orchestrator.name, settings.home / orchestrator.name
    description = driver.describe(orchestrator, settings)
    if not set(verbs) <= set(description.verbs):
        return "its runs can't be listed yet"
    if url := settings.endpoints.get(name):
        state_folder(settings.home)
        return Reached(settings, orchestrator, description, Endpoint(str(folder / "home"), {}, url))
    running = Running.read(folder / "services.json")
    if description.ports and (running is None or running.dead):
        return f"not running; `triptych up {name}` shows its runs"
    if not folder.exists():
        return None
    endpoint = Endpoint(str(folder / "home"), running.ports if running else {}, scale=running.scale if running else {})
    return Reached(settings, orchestrator, description, endpoint)


def history(settings: Settings, chosen: Sequence[Orchestrator], pipeline: str | None, limit: int) -> History:
    """Return the newest `limit` runs of one pipeline, or of all, on the `chosen` orchestrators."""
    with ThreadPoolExecutor(len(chosen)) as pool:
        parts = list(pool.map(lambda each: _of(settings, each, pipeline, limit), chosen))
    return History(
        newest((run for part in parts for run in part.runs), limit),
        [line for part in parts for line in part.silent],
        [line for part in parts for line in part.failed],
    )


def newest(runs: Iterable[RunRecord], limit: int) -> list[RunRecord]:
    """Return the `limit` runs that were created last, newest first."""
    return sorted(runs, key=_created, reverse=True)[:limit]


def _created(run: RunRecord) -> dt.datetime:
    """Return when a run was created: orchestrators write times with different offsets, so texts do not sort."""
    text = run.created_at or run.started_at
    return dt.datetime.fromisoformat(text) if text else dt.datetime.min.replace(tzinfo=dt.UTC)


def _of(settings: Settings, orchestrator: Orchestrator, pipeline: str | None, limit: int) -> History:
    try:
        reached = reach(settings, orchestrator, "runs")
        if isinstance(reached, str):
            return History(silent=[f"{orchestrator.name}: {reached}"])
        if reached is None:
            return History()
        return History(RunList.from_json(reached.ask("runs", RunsRequest(pipeline, limit))).runs)
    except TriptychError as error:
        return History(failed=[f"{orchestrator.name}: {error}"])
