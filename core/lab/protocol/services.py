"""What an orchestrator is, and how its services are brought up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    scalable: dict[str, list[str]] = field(default_factory=dict)
    """The services of which there can be several processes, each with the names of the ports that these need besides
    `ports`; in a name, ``{n}`` is the number of a process."""

    def ports_of(self, scale: Mapping[str, int]) -> list[str]:
        """Return the names of all ports, when there are so many processes of these services.

        Raise `UsageError` for a service of which there can be only one.
        """
        names = list(self.ports)
        for service, count in scale.items():
            if service not in self.scalable:
                known = ", ".join(self.scalable) or "none"
                raise UsageError(
                    f"{self.name} can't have several processes of {quoted(service)!r}: choose from {known}"
                )
            names += [name.format(n=n) for name in self.scalable[service] for n in range(1, count + 1)]
        return list(dict.fromkeys(names))

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
    scale: dict[str, int] = field(default_factory=dict)
    """How many processes of a service there are, where that is more than one."""

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


BALANCER = "balancer"
"""The process in front of several servers: of the role API, as they are."""


def several(step: Step, count: int) -> list[Step]:
    """Return the steps that start so many processes of a service: one keeps its name, several get a number each."""
    return [step] if count == 1 else [replace(step, name=f"{step.name}-{n}") for n in range(1, count + 1)]


def balanced(step: Step, port: str, endpoint: Endpoint) -> list[Step]:
    """Return the steps that start the server that listens on the port of this name, or several behind a balancer.

    The server takes its port with ``--port``. Each of several has one of its own, which is called as its process is.
    """
    servers = several(step, endpoint.scale.get(step.name, 1))
    names = [port] if len(servers) == 1 else [each.name for each in servers]
    own = [str(endpoint.ports[name]) for name in names]
    listening = [
        replace(each, start=[*(each.start or []), "--port", number]) for each, number in zip(servers, own, strict=True)
    ]
    balancer = ["python", "-m", "core.lab.balancer", str(endpoint.ports[port]), *own]
    return listening if len(listening) == 1 else [*listening, Step(start=balancer, name=BALANCER)]


def service_of(name: str) -> str:
    """Return the service of a process by its name: ``scheduler`` of ``scheduler-2``."""
    return re.sub(r"-\d+$", "", name)


@dataclass(frozen=True)
class Services(Message):
    """How to bring an orchestrator up. In `env`, ``${METADATA}`` becomes ``user:password@host:port/database``."""

    LISTS: ClassVar = {"steps": Step}

    env: dict[str, str]
    steps: list[Step]
    web: str | None = None
