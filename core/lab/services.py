"""The services of one orchestrator: brought up from its `Services`, found again by the next command, ended whole.

<state>/<tool>/home/           what the tool keeps
               logs/           one file per process, and one per step that ran
               services.json   what runs: processes by pid and start, ports, web page
               lease, kept     who uses them (`core.lab.leases`)
               runs/           requests, results and logs of its runner
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Any

import httpx
from filelock import FileLock

from core.contract import Description, Endpoint, Message, Services, Step, until, write_json
from core.errors import PermanentError, TransientError, TriptychError, UsageError
from core.lab import driver, processes
from core.lab.processes import Child, Identity
from core.lab.registry import Orchestrator
from core.settings import CLOUDS, private

CALL_S = 60.0
"""For `describe` and `services`: an interpreter and some imports, 0.3 s on an idle machine."""

STEP_S = 300.0
"""For one `run` or `wait` step, and `ready`: Airflow's migration takes 13 s, 60 s on a busy machine."""

METADATA = "${METADATA}"


@dataclass(frozen=True)
class Running:
    """Services that take work."""

    tool: str
    version: str
    ports: dict[str, int]
    web: str | None
    processes: list[Identity]
    settings: str

    @classmethod
    def read(cls, path: Path) -> Running | None:
        """What `path` says and still is so: None when there is no such file, or any of its processes has ended.

        None as well when it is torn, or was written by a Triptych that wrote down other facts: services are started anew.
        """
        if not path.exists():
            return None
        try:
            facts = json.loads(path.read_text())
            running = cls(**{**facts, "processes": [Identity(**each) for each in facts["processes"]]})
        except (ValueError, TypeError, KeyError):
            return None
        return running if all(each.process() for each in running.processes) else None


@dataclass
class Stack:
    """One tool's services. `metadata` gives the tool's database (``user:password@host:port/name``) and whether it is new."""

    tool: Orchestrator
    folder: Path
    env: Mapping[str, str]
    metadata: Callable[[], tuple[str, bool]]
    stop: Event = field(default_factory=Event)
    children: list[Child] = field(default_factory=list)
    address: str = ""
    """Where the tool's database is, without its user, once the services need it."""

    @property
    def home(self) -> Path:
        """What the tool knows as its home, and as HOME."""
        return self.folder / "home"

    @property
    def record(self) -> Path:
        """Where the running services are written down."""
        return self.folder / "services.json"

    @cached_property
    def description(self) -> Description:
        """What the tool says of itself."""
        return Description.from_json(self._call("describe", {}, CALL_S))

    def start(self) -> Running:
        """Find the services, or bring them up; raise one clear line when they do not come up."""
        private(self.home)
        with FileLock(self.folder / "lock"):
            found = Running.read(self.record)
            if found and found.version == self.description.version:
                return self._attach(found)
            self.end()  # what is left of services that died, or that are of another version
            ports = free_ports(self.description.ports)
            try:
                return self._bring_up(ports)
            except TriptychError:
                # Between being chosen and being used a port may go to somebody else: worth one more try.
                if self.stop.is_set() or all(is_free(port) for port in ports.values()):
                    raise
            return self._bring_up(free_ports(self.description.ports))

    def end(self) -> int:
        """End all that runs for this tool's services; give the number of processes."""
        count = processes.end(self.folder / "services")
        self.let_go()
        self.record.unlink(missing_ok=True)
        return count

    def let_go(self) -> None:
        """Leave to themselves those of our processes that still run."""
        for child in self.children:
            child.let_go()

    def _attach(self, found: Running) -> Running:
        if not found.processes:  # a tool without services has nothing that could know other settings
            return found
        if found.settings != self._fingerprint:
            raise UsageError(
                f"{self.tool.name}: its services run with other settings (TRIPTYCH_*, AWS_*, AZURE_*, GOOGLE_*): end them with `triptych down`"
            )
        self._call("ready", Endpoint(str(self.home), found.ports), STEP_S)
        return found

    @property
    def _fingerprint(self) -> str:
        """What the services were told of the warehouse and of our settings: not readable, because it holds a password."""
        told = sorted((key, value) for key, value in self.env.items() if key.startswith(("TRIPTYCH_", *CLOUDS)))
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def _bring_up(self, ports: dict[str, int]) -> Running:
        """Take every step; on a failure end what was started."""
        endpoint = Endpoint(str(self.home), ports)
        self.children = []
        try:
            services = Services.from_json(self._call("services", endpoint, CALL_S))
            env = self._service_env(services)
            for step in services.steps:
                self._take(step, env)
                self._alive()
            if self.children:
                self._call("ready", endpoint, STEP_S)
                self._alive()
        except BaseException:
            self.end()
            raise
        version, identities = self.description.version, [child.identity for child in self.children]
        running = Running(self.tool.name, version, ports, services.web, identities, self._fingerprint)
        write_json(self.record, asdict(running))
        return running

    def _service_env(self, services: Services) -> dict[str, str]:
        env = {**self.env, **services.env}
        if any(METADATA in value for value in services.env.values()):
            address, new = self.metadata()
            self.address = address.rpartition("@")[2]
            if new:  # what was done `once` was done to another database
                self._book.unlink(missing_ok=True)
            env = {key: value.replace(METADATA, address) for key, value in env.items()}
        return env

    def _take(self, step: Step, env: Mapping[str, str]) -> None:
        if step.start:
            self.children.append(self._spawn(step.start, env, step.name or Path(step.start[0]).name))
        elif step.wait:
            self._wait(step.wait)
        elif step.run:
            self._run(step, step.run, env)

    def _spawn(self, words: list[str], env: Mapping[str, str], name: str) -> Child:
        own = self.tool.python.parent / words[0]  # subprocess would look the name up in our PATH, not in the tool's
        words = [str(own) if own.exists() else words[0], *words[1:]]
        log, owner = self.folder / "logs" / f"{name}.log", self.folder / "services"
        return Child(words, name=name, env=env, cwd=self.tool.cwd, log=log, owner=owner)

    def _run(self, step: Step, words: list[str], env: Mapping[str, str]) -> None:
        key = hashlib.sha256(
            json.dumps([words, self.description.version, str(self.home), self.address]).encode()
        ).hexdigest()
        done = self._done()
        if step.once and key in done:
            return
        what = f"{self.tool.name}: `{' '.join(words)}`"
        child = self._spawn(words, env, step.name or Path(words[0]).name)
        self._until(lambda: None if child.wait(0.05) is None else True, what)
        if code := child.returncode():
            raise PermanentError(f"{what} ended with {code}: {child.last_line()}; see {child.log}")
        if step.once:
            write_json(self._book, [*done, key])

    def _done(self) -> list[str]:
        """The keys of the `once` steps that are done. Unreadable, they are done again: each may be."""
        try:
            done: list[str] = json.loads(self._book.read_text())
        except (FileNotFoundError, ValueError):
            return []
        return done

    @property
    def _book(self) -> Path:
        """Which `once` steps are done."""
        return self.folder / "once.json"

    def _wait(self, url: str) -> None:
        def answers() -> bool | None:
            try:
                return client.get(url).status_code == 200 or None
            except httpx.TransportError:
                return None

        with httpx.Client(timeout=10, trust_env=False) as client:
            self._until(answers, f"{self.tool.name}: {url}")

    def _until(self, probe: Callable[[], bool | None], what: str) -> None:
        def watched() -> bool | None:
            self._alive()
            return probe()

        until(watched, STEP_S, 0.1, what)

    def _alive(self) -> None:
        """Raise when a service has died, with its own words, or when we were asked to stop."""
        if self.stop.is_set():
            raise TransientError(f"{self.tool.name}: start interrupted")
        for child in self.children:
            if (code := child.returncode()) is not None:
                raise PermanentError(
                    f"{self.tool.name}: {child.name} ended with {code}: {child.last_line()}; see {child.log}"
                )

    def _call(self, verb: str, request: Message | Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        try:
            return driver.call(
                self.tool, verb, request, folder=self.folder, env=self.env, timeout_s=timeout_s, stop=self.stop
            )
        except TriptychError:
            self._alive()  # a service that died is the better cause
            raise


def free_ports(names: list[str]) -> dict[str, int]:
    """A free loopback port for each name, all different."""
    with ExitStack() as held:
        sockets = {name: held.enter_context(socket.socket()) for name in names}
        for each in sockets.values():
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in sockets.items()}


def is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
