"""The runs of one orchestrator, and its processes: what a person does with them, through its running services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import psutil

from core.lab.identity import Identity
from core.lab.protocol import (
    LimitRequest,
    ManyRequest,
    ProcessesRequest,
    ProcessList,
    ProcessRecord,
    RunIdsRequest,
    RunList,
    RunRecord,
    RunRequest,
    RunsRequest,
    ScheduleRequest,
    StartRequest,
    TicksRequest,
)
from core.lab.registry import Orchestrator
from core.lab.session import Lab
from core.lab.tally import Show


@dataclass(frozen=True)
class Process:
    """A living process of an orchestrator, and its identity: the pid alone may be another one's by now."""

    record: ProcessRecord
    identity: Identity


@dataclass(frozen=True)
class Runs:
    """The runs of one orchestrator. Each method brings its services up if need be.

    Each raises `UsageError`, before anything starts, when the orchestrator's runner lacks the verb.
    """

    lab: Lab
    orchestrator: Orchestrator

    def start(
        self, pipeline: str, parameters: Mapping[str, Any], month: str | None = None, at: str | None = None
    ) -> str:
        """Start a run by hand, of a month or for a date (`StartRequest.at`) if it is said, and return its id."""
        request = StartRequest(pipeline, dict(parameters), month, at)
        return str(self.lab.ask(self.orchestrator, "start", request)["run_id"])

    def start_many(
        self, pipeline: str, parameters: Mapping[str, Any], count: int, within_s: float | None = None
    ) -> list[str]:
        """Start so many runs by hand, one right after the other, within so many seconds; return the ids."""
        request = ManyRequest(pipeline, dict(parameters), count, within_s)
        return list(self.lab.ask(self.orchestrator, "start_many", request)["run_ids"])

    def in_turn(self, pipeline: str, parameters: Mapping[str, Any], count: int) -> list[tuple[RunRecord, float]]:
        """Start so many runs by hand, each once the one before it has ended.

        Return the records, each with the seconds from the call that starts the run until the client sees its end.
        """
        answer = self.lab.ask(self.orchestrator, "in_turn", ManyRequest(pipeline, dict(parameters), count))
        return list(zip(map(RunRecord.from_json, answer["runs"]), answer["wall_s"], strict=True))

    def look_up(self, pipeline: str, run_ids: Iterable[str]) -> list[RunRecord]:
        """Return the records of those of a pipeline's runs that the orchestrator still has, as they are now."""
        request = RunIdsRequest(list(run_ids), [pipeline])
        return RunList.from_json(self.lab.ask(self.orchestrator, "look_up", request)).runs

    def observe(self, pipeline: str, run_id: str, wait_s: float | None = 0.0, show: Show | None = None) -> RunRecord:
        """Return a run's record: now, or once it has ended, after `wait_s` seconds at most (None: without a limit)."""
        on_progress = partial(_pass_on, show) if show else None
        request = RunRequest(pipeline, run_id, wait_s)
        return RunRecord.from_json(self.lab.ask(self.orchestrator, "observe", request, on_progress))

    def newest(self, pipeline: str | None = None, limit: int = 20) -> list[RunRecord]:
        """Return the newest runs of a pipeline, or of all, newest first."""
        return RunList.from_json(self.lab.ask(self.orchestrator, "runs", RunsRequest(pipeline, limit))).runs

    def cancel(self, pipeline: str, run_id: str) -> None:
        """Ask the orchestrator to cancel a run: `observe` shows when it has."""
        self.lab.ask(self.orchestrator, "cancel", RunRequest(pipeline, run_id))

    def retry(self, pipeline: str, run_id: str) -> str:
        """Run again what failed in a run that has ended, as its page does.

        Return the id of the run in which that is done: the same one, or a new one.
        """
        return str(self.lab.ask(self.orchestrator, "retry", RunRequest(pipeline, run_id))["run_id"])

    def schedule(self, pipeline: str, *, active: bool) -> None:
        """Turn the schedule of a pipeline on, or pause it."""
        self.lab.ask(self.orchestrator, "schedule", ScheduleRequest(pipeline, active))

    def catch_up(self, pipeline: str, since: str, until: str) -> list[str]:
        """Start a run for each past date of a schedule, both ends included; return the ids of those that are new."""
        return list(self.lab.ask(self.orchestrator, "catch_up", TicksRequest(pipeline, since, until))["run_ids"])

    def delete(self, pipeline: str, run_id: str) -> None:
        """Delete a run that has ended from the orchestrator's history. The tables that it wrote stay as they are."""
        self.lab.ask(self.orchestrator, "delete", RunRequest(pipeline, run_id))

    def limit(self, name: str, slots: int) -> None:
        """Let at most `slots` tasks at a time use the pool `name`, from now on."""
        self.lab.ask(self.orchestrator, "limit", LimitRequest(name, slots))

    def processes(self) -> list[Process]:
        """Return the living processes."""
        stack = self.lab.stack(self.orchestrator)
        stack.description.check_verb("processes")
        services = {each.name: each.pid for each in stack.start().processes}
        answer = self.lab.ask(self.orchestrator, "processes", ProcessesRequest(services))
        found = []
        for record in ProcessList.from_json(answer).processes:
            # One that has ended since is not living.
            with suppress(psutil.NoSuchProcess):
                found.append(Process(record, Identity.of(record.name, record.pid)))
        return found


def _pass_on(show: Show, fact: Mapping[str, Any]) -> None:
    """Pass one line of the runner's progress on to `show`."""
    show(fact["month"], fact["state"], fact["detail"], task=fact["task"], attempt=fact["attempt"])
