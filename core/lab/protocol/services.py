"""What an orchestrator is, and how its services are brought up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from core.errors import UsageError, quoted
from core.lab.protocol.message import Message
from core.lab.protocol.pipelines import TAXI_PIPELINE, Pipeline
from core.lab.protocol.requests import Mode
from core.lab.protocol.tuning import Tuned


@dataclass(frozen=True)
class Description(Message):
    """Who an orchestrator is. `capabilities` are keys of `core.lab.capabilities.CAPABILITIES`; `ports` are names.

    `lacks` holds each capability that it does not have, with the reason in one sentence. `backfill` runs the first of
    the `pipelines`.
    """

    LISTS: ClassVar = {"pipelines": Pipeline, "tuned": Tuned, "guards": Tuned}

    name: str
    title: str
    version: str
    capabilities: list[str]
    ports: list[str] = field(default_factory=list)
    lacks: dict[str, str] = field(default_factory=dict)
    pipelines: list[Pipeline] = field(default_factory=lambda: [TAXI_PIPELINE])
    verbs: list[str] = field(default_factory=list)
    """What its runner answers: `serve` fills it in."""
    tuned: list[Tuned] = field(default_factory=list)
    """The settings that its adapter changes for speed alone; the environment may leave them as they are shipped."""
    guards: list[Tuned] = field(default_factory=list)
    """Those that decide when something lost is noticed, and whether it runs again; the environment may leave all of
    them as they are shipped."""

    def check_verb(self, verb: str) -> None:
        """Raise `UsageError` when the runner does not answer `verb`."""
        if verb not in self.verbs:
            raise UsageError(f"{self.name} can't `{verb}` yet: its runner lacks this verb of the runner protocol")

    def check_mode(self, mode: Mode) -> None:
        """Raise `UsageError` when the orchestrator has no backfills of this mode."""
        if mode == "one-run" and "one_run" not in self.capabilities:
            reason = self.lacks.get("one_run", "Its runner does not have it.")
            raise UsageError(f"{self.name} can't run a backfill as one run: {reason}")

    def pipeline(self, name: str) -> Pipeline:
        """Return the pipeline that has this name; raise `UsageError` naming those that there are."""
        known = {each.name: each for each in self.pipelines}
        if name not in known:
            raise UsageError(f"{self.name} has no pipeline {quoted(name)!r}: choose from {', '.join(known)}")
        return known[name]


@dataclass(frozen=True)
class Endpoint(Message):
    """Where an orchestrator's services are: its home folder, and its loopback ports by name.

    Services that the lab did not start have a `url` instead of ports, that of the server that the runner asks; `home`
    is then a folder of the runner alone.
    """

    home: str
    ports: dict[str, int]
    url: str | None = None

    def address(self, port: str) -> str:
        """Return the URL of the server that listens on the port of this name."""
        return self.url or f"http://127.0.0.1:{self.ports[port]}"


@dataclass(frozen=True)
class Step(Message):
    """One step of bringing services up. Exactly one of `run`, `start` and `wait` is set.

    run    a command that ends, such as a database migration; with `once`, it is not repeated while its words,
           the orchestrator's version and its home stay the same
    start  a process that stays; `name` labels its log
    wait   an http URL that must answer 200

    Before a process that died is started again, the rest of its session is ended. With `leaves_runs` it is not: the
    rest are then runs that come to their end without it.
    """

    run: list[str] | None = None
    start: list[str] | None = None
    wait: str | None = None
    name: str = ""
    once: bool = False
    leaves_runs: bool = False


@dataclass(frozen=True)
class Services(Message):
    """How to bring an orchestrator up. In `env`, ``${METADATA}`` becomes ``user:password@host:port/database``."""

    LISTS: ClassVar = {"steps": Step}

    env: dict[str, str]
    steps: list[Step]
    web: str | None = None
