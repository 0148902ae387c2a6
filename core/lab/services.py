"""The services of one orchestrator: brought up, used again by the next command, and ended completely.

<state>/<orchestrator>/home/           the orchestrator's home
                       logs/           one file per process, and one per step that ran
                       services.json   the running services: processes by pid and start, ports, web page
                       ports.json      the ports that they had last
                       lease, kept     who uses them (`core.lab.leases`)
                       runs/           requests, results and logs of its runner
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from core.errors import PermanentError, TransientError, TriptychError, UsageError
from core.lab import driver, notices, processes, steps
from core.lab.identity import Identity
from core.lab.processes import end_rest, is_free
from core.lab.protocol import Description, Endpoint, Message, Services, write_json
from core.lab.registry import Orchestrator
from core.lab.running import Running
from core.lab.steps import Steps
from core.settings import CLOUDS, private

CALL_S = 60.0
"""The limit for `describe` and `services`: an interpreter and some imports, 0.3 s on an idle machine."""

METADATA = "${METADATA}"

PORTS = range(20_000, 32_000)
"""Where new ports are chosen: below those that Linux hands out to connections, one of which would take a kept port."""

CONNECT_S = 10.0
"""How long services that were not started here may take to accept a connection."""

OnStep = Callable[[str], None]
"""Called with what is being done to bring services up, such as ``starting scheduler``."""


@dataclass
class Stack:
    """One orchestrator's services.

    `metadata` returns the address of the orchestrator's own database, ``user:password@host:port/name``, and whether it
    is new.
    """

    orchestrator: Orchestrator
    folder: Path
    env: Mapping[str, str]
    metadata: Callable[[], tuple[str, bool]]
    stop: Event = field(default_factory=Event)
    say: Callable[[str], None] = lambda line: None
    """Called with a line for services that had ended and are started again, and for a port that changes."""
    identities: list[Identity] = field(default_factory=list)
    """The processes that run as far as this command knows: when one of them ends, call `revive`."""
    check: Callable[[], None] = lambda: None
    """Raises when services died so often that they are given up (`core.lab.supervisor`)."""
    _ready: list[Identity] = field(default_factory=list)
    """The processes of which the runner has said to this command that they take work: it is asked once."""
    address: str = ""
    """Where the orchestrator's database is, without its user, once the services need it."""
    url: str | None = None
    """The address of services that were not started here (TRIPTYCH_ENDPOINTS): they are used, and left alone."""
    scale: Mapping[str, int] = field(default_factory=dict)
    """How many processes of a service there are to be, where that is more than one. When empty, services that run
    already stay as they are."""
    restarts: bool = True
    """Whether services that have ended are started again."""
    _found: Running | None = None
    """Those services, once they have said to this command that they take work: they are asked once."""

    @property
    def name(self) -> str:
        """The orchestrator's name."""
        return self.orchestrator.name

    @property
    def home(self) -> Path:
        """The orchestrator's home, which is also its HOME."""
        return self.folder / "home"

    @property
    def record(self) -> Path:
        """Where the running services are recorded."""
        return self.folder / "services.json"

    @cached_property
    def description(self) -> Description:
        """What the runner says of its orchestrator."""
        return Description.from_json(self._call("describe", {}, CALL_S))

    @cached_property
    def _steps(self) -> Steps:
        return Steps(self.orchestrator, self.folder, self._go_on)

    def endpoint(self, ports: Mapping[str, int]) -> Endpoint:
        """Return where the runner finds the services that have these ports."""
        return Endpoint(str(self.home), dict(ports), self.url, dict(self.scale))

    def start(self, on_step: OnStep = lambda what: None) -> Running:
        """Use the services that run, and bring up those that do not; raise one clear line when they do not come up.

        Another command may be using them: what runs is left alone, and what has ended is started on the ports that it
        had. `on_step` is not called when all of them run.
        """
        private(self.home)
        if self.url:
            if self.scale:
                raise UsageError(f"{self.name}: its services were not started here: scale them where they are")
            self._found = self._found or self._find(self.url)
            return self._found
        other = notices.starter(self.folder)
        if other and other.pid != os.getpid():
            on_step(f"pid {other.pid} starts them")
        with FileLock(self.folder / "lock"), notices.starting(self.folder):
            known = Running.read(self.record)
            if known and known.version != self.description.version:
                known = None
            if known:
                self._check_scale(known)
            if known is None or (known.processes and len(known.dead) == len(known.processes)):
                running = self._start_all(known, on_step)
                self.identities = self._ready = running.processes
                return running
            # An orchestrator without services has no process that could know other settings.
            if known.processes:
                self._check_settings(known)
                self._report_dead(known)
                self._revive(known, on_step)
        running = Running.read(self.record) or known
        if running.processes != self._ready:
            # A service that dies from now on is started again by our supervisor.
            self._call("ready", self.endpoint(running.ports), steps.STEP_S, self._go_on)
            self._ready = running.processes
        return Running.read(self.record) or known

    def _find(self, url: str) -> Running:
        """Return services that were not started here, once they take work."""
        check_listens(self.name, url)
        self._call("ready", self.endpoint({}), steps.STEP_S, self._go_on)
        return Running(self.name, self.description.version, {}, url, [], self._fingerprint, str(self.orchestrator.cwd))

    def revive(self) -> None:
        """Start those services again that have ended, on the ports that they had; leave those that run alone.

        Do nothing when another command has done it, or has ended the services on purpose. Raise `TriptychError` when it
        fails.
        """
        with FileLock(self.folder / "lock"):
            known = Running.read(self.record)
            if known:
                self._check_scale(known)
                self._revive(known)
            else:
                self.identities = []

    def death(self, identity: Identity) -> str:
        """Return how a service ended, and where its log is."""
        return self._steps.death(identity)

    def end(self) -> int:
        """End all that runs for this orchestrator's services; return the number of processes."""
        # First: what is about to end is no service that died.
        self.record.unlink(missing_ok=True)
        count = processes.end(self.folder / "services")
        self.let_go()
        self.identities = []
        return count

    def let_go(self) -> None:
        """Let those of our processes that still run outlive this command."""
        self._steps.let_go()

    def _check_settings(self, known: Running) -> None:
        if known.checkout != str(self.orchestrator.cwd):
            raise UsageError(
                f"{self.name}: its services run the code of another checkout, {known.checkout}: "
                "end them with `triptych down`"
            )
        if known.settings != self._fingerprint:
            raise UsageError(
                f"{self.name}: its services run with other settings (TRIPTYCH_*, AWS_*, AZURE_*, GOOGLE_*): "
                "end them with `triptych down`"
            )

    def _check_scale(self, known: Running) -> None:
        if self.scale and known.processes and known.scale != self.scale:
            raise UsageError(
                f"{self.name}: its services run with another number of processes: end them with `triptych down`"
            )
        self.scale = self.scale or known.scale

    def _report_dead(self, known: Running) -> None:
        for each in known.dead if self.restarts else ():
            # The supervisor reports those that this command started.
            if each not in self.identities:
                self.say(f"{self.death(each)}; it is started again")

    def _start_all(self, known: Running | None, on_step: OnStep) -> Running:
        """Bring all services up, on the ports that they had last if these are free, else on new ones."""
        # Ends the rest of services that died, or that are of another version.
        self.end()
        # A backfill may still be talking to services of other settings that died: it must not reach these.
        is_same = known is None or known.settings == self._fingerprint
        ports = self._choose_ports(self._kept_ports() if is_same else {})
        try:
            return self._bring_up(ports, on_step)
        except TriptychError:
            # Another program may take a port between its choice and its use: that is worth one more attempt.
            if self.stop.is_set() or all(is_free(port) for port in ports.values()):
                raise
        return self._bring_up(self._choose_ports(ports), on_step)

    def _choose_ports(self, kept: Mapping[str, int]) -> dict[str, int]:
        """Return the `kept` ports, with new ones for those that are missing or taken; keep them from now on."""
        new = free_ports(self.description.ports_of(self.scale), kept)
        ports = {name: kept[name] if name in kept and is_free(kept[name]) else port for name, port in new.items()}
        for name in kept.keys() & ports:
            if ports[name] != kept[name]:
                self.say(f"{self.name}: port {kept[name]} ({name}) is in use by another program: now {ports[name]}")
        write_json(self._ports, ports)
        return ports

    def _kept_ports(self) -> dict[str, int]:
        """Return the ports of the last time; none if there was none, or the file is unreadable."""
        try:
            return {str(name): int(port) for name, port in json.loads(self._ports.read_text()).items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return {}

    @property
    def _ports(self) -> Path:
        return self.folder / "ports.json"

    def _revive(self, known: Running, on_step: OnStep = lambda what: None) -> None:
        """Repeat the steps that start and await services, for those that have ended.

        Asks the runner for commands and environment again: the environment holds a password, so it is not on disk.
        """
        self.identities = list(known.processes)
        if not self.restarts:
            self.identities = [each for each in known.processes if each not in known.dead]
            return
        if not known.dead:
            return
        self._steps.forget_ended()
        services = Services.from_json(self._call("services", self.endpoint(known.ports), CALL_S))
        env, position = self._service_env(services), 0
        for step in services.steps:
            if step.start:
                if not self.identities[position].process():
                    if not step.leaves_runs:
                        end_rest(self.identities[position])
                    on_step(steps.label(step))
                    self._steps.take(step, env, self._context)
                    self.identities[position] = self._steps.children[-1].identity
                    # At once: if this command is killed while it waits, another one knows the process.
                    write_json(self.record, asdict(replace(known, processes=self.identities)))
                position += 1
            elif step.wait:
                on_step(steps.label(step))
                self._steps.take(step, env, self._context)

    @property
    def _fingerprint(self) -> str:
        """The warehouse and settings that the services were started with, as a hash: they hold a password."""
        told = sorted((key, value) for key, value in self.env.items() if key.startswith(("TRIPTYCH_", *CLOUDS)))
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    @property
    def _context(self) -> list[str]:
        """What the `once` steps depend on, besides their words."""
        return [self.description.version, str(self.home), self.address]

    def _bring_up(self, ports: dict[str, int], on_step: OnStep) -> Running:
        """Take every step; on a failure end what was started."""
        endpoint = self.endpoint(ports)
        self._steps.children = []
        try:
            services = Services.from_json(self._call("services", endpoint, CALL_S))
            env = self._service_env(services)
            for step in services.steps:
                on_step(steps.label(step))
                self._steps.take(step, env, self._context)
                self._steps.check_alive()
            if self._steps.children:
                on_step("waiting until it takes work")
                self._call("ready", endpoint, steps.STEP_S)
                self._steps.check_alive()
        except BaseException:
            self.end()
            raise
        identities = [child.identity for child in self._steps.children]
        running = Running(
            self.name, self.description.version, ports, services.web, identities, self._fingerprint,
            str(self.orchestrator.cwd), dict(self.scale),
        )  # fmt: skip
        write_json(self.record, asdict(running))
        return running

    def _service_env(self, services: Services) -> dict[str, str]:
        env = {**self.env, **services.env}
        if any(METADATA in value for value in services.env.values()):
            address, is_new = self.metadata()
            self.address = address.rpartition("@")[2]
            if is_new:
                self._steps.forget_once()
            env = {key: value.replace(METADATA, address) for key, value in env.items()}
        return env

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise TransientError(f"{self.name}: start interrupted")
        self.check()

    def _call(
        self, verb: str, request: Message | Mapping[str, Any], stall_s: float, check: Callable[[], None] | None = None
    ) -> dict[str, Any]:
        check = check or self._steps.check_alive
        return driver.call(
            self.orchestrator, verb, request, folder=self.folder, env=self.env, stall_s=stall_s, check=check
        )


def check_listens(name: str, url: str) -> None:
    """Raise `TransientError` at once when no server listens at `url`. A runner would repeat its calls for minutes."""
    parts = urlsplit(url)
    where = (str(parts.hostname), parts.port or {"http": 80, "https": 443}[parts.scheme])
    try:
        socket.create_connection(where, CONNECT_S).close()
    except (OSError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise TransientError(f"{name}: {url} (TRIPTYCH_ENDPOINTS) does not answer: {reason}") from None


def free_ports(names: list[str], kept: Mapping[str, int] = {}) -> dict[str, int]:
    """Return a free loopback port for each name, all different, and none of the `kept` ones.

    Raise `PermanentError` when there are not enough.
    """
    free = (port for port in random.sample(PORTS, len(PORTS)) if port not in kept.values() and is_free(port))
    ports = dict(zip(names, free, strict=False))
    if len(ports) < len(names):
        raise PermanentError(f"there is no free port from {PORTS.start} to {PORTS.stop - 1} on 127.0.0.1")
    return ports
