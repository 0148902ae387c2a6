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
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Any

import httpx
from filelock import FileLock

from core.errors import PermanentError, TransientError, TriptychError, UsageError
from core.lab import driver, processes
from core.lab.processes import Child, Identity, end_rest, is_free
from core.lab.protocol import Description, Endpoint, Message, Services, Step, write_json
from core.lab.registry import Orchestrator
from core.settings import CLOUDS, private
from core.waiting import until

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
        """Return what `path` says, None when there is no such file: look at `dead` for what is no longer so.

        None as well when it is torn, or was written by a Triptych that wrote down other facts: services are started anew.
        """
        if not path.exists():
            return None
        try:
            facts = json.loads(path.read_text())
            return cls(**{**facts, "processes": [Identity(**each) for each in facts["processes"]]})
        except (ValueError, TypeError, KeyError):
            return None

    @property
    def dead(self) -> list[Identity]:
        """Those of its processes that have ended."""
        return [each for each in self.processes if not each.process()]


@dataclass
class Stack:
    """One tool's services. `metadata` gives the tool's database (``user:password@host:port/name``) and whether it is new."""

    tool: Orchestrator
    folder: Path
    env: Mapping[str, str]
    metadata: Callable[[], tuple[str, bool]]
    stop: Event = field(default_factory=Event)
    say: Callable[[str], None] = lambda line: None
    """Told of services that had ended and are started again."""
    children: list[Child] = field(default_factory=list)
    identities: list[Identity] = field(default_factory=list)
    """The processes that run as far as we know: when one of them ends, call `revive`."""
    check: Callable[[], None] = lambda: None
    """Raises when services died so often that they are given up (`core.lab.supervisor`)."""
    address: str = ""
    """Where the tool's database is, without its user, once the services need it."""

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.tool.name

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
        """Find the services, or bring up what does not run; raise one clear line when they do not come up.

        Another command may be using them: what runs is left alone, and what has ended gets the ports that it had.
        """
        private(self.home)
        with FileLock(self.folder / "lock"):
            found = Running.read(self.record)
            if found and found.version != self.description.version:
                found = None
            if found is None or (found.processes and len(found.dead) == len(found.processes)):
                running = self._start_all(found)
                self.identities = running.processes
                return running
            if found.processes:  # a tool without services has nothing that could know other settings
                self._check_settings(found)
                for each in found.dead:
                    if each not in self.identities:  # else our supervisor says it
                        self.say(f"{self.death(each)}; it is started again")
                self._revive(found)
        if found.processes:
            endpoint = Endpoint(str(self.home), found.ports)
            self._call("ready", endpoint, STEP_S, self._go_on)  # what dies by now, our supervisor starts again
        return Running.read(self.record) or found

    def revive(self) -> None:
        """Start those services again that have ended, on the ports that they had; leave those that run alone.

        Do nothing when another command has done it, or has ended the services on purpose. Raise `TriptychError` when it fails.
        """
        with FileLock(self.folder / "lock"):
            found = Running.read(self.record)
            if found:
                self._revive(found)
            else:
                self.identities = []

    def death(self, identity: Identity) -> str:
        """Say how a service ended, and where its log is."""
        child = next((child for child in self.children if child.identity == identity), None)
        how, log = child.ending() if child else "ended", self._log(identity.name)
        cause = f": {child.last_line()}" if child and (child.returncode() or 0) > 0 else ""
        return f"{self.tool.name}: {identity.name} {how}{cause}; see {log}"

    def end(self) -> int:
        """End all that runs for this tool's services; give the number of processes."""
        count = processes.end(self.folder / "services")
        self.let_go()
        self.record.unlink(missing_ok=True)
        self.identities = []
        return count

    def let_go(self) -> None:
        """Leave to themselves those of our processes that still run."""
        for child in self.children:
            child.let_go()

    def _check_settings(self, found: Running) -> None:
        if found.settings != self._fingerprint:
            raise UsageError(
                f"{self.tool.name}: its services run with other settings (TRIPTYCH_*, AWS_*, AZURE_*, GOOGLE_*): end them with `triptych down`"
            )

    def _start_all(self, found: Running | None) -> Running:
        """Bring all services up: on the ports of those `found` dead, if they are free; else on ports of our choice."""
        self.end()  # what is left of services that died, or that are of another version
        kept = found and found.settings == self._fingerprint and all(is_free(port) for port in found.ports.values())
        ports = found.ports if found and kept else free_ports(self.description.ports)
        try:
            return self._bring_up(ports)
        except TriptychError:
            # Between being chosen and being used a port may go to somebody else: worth one more try.
            if self.stop.is_set() or all(is_free(port) for port in ports.values()):
                raise
        return self._bring_up(free_ports(self.description.ports))

    def _revive(self, found: Running) -> None:
        """Take the steps again that start and await services, for those that have ended.

        Their commands and environment are asked for again: the environment holds a password, so it is nowhere on disk.
        """
        self.identities = list(found.processes)
        if not found.dead:
            return
        self.children = [child for child in self.children if child.returncode() is None]
        services = Services.from_json(self._call("services", Endpoint(str(self.home), found.ports), CALL_S))
        env, position = self._service_env(services), 0
        for step in services.steps:
            if step.start:
                if not self.identities[position].process():
                    if not step.leaves_runs:
                        end_rest(self.identities[position])
                    self._take(step, env)
                    self.identities[position] = self.children[-1].identity
                    # At once: should we be killed while we wait for it, another command finds it
                    write_json(self.record, asdict(replace(found, processes=self.identities)))
                position += 1
            elif step.wait:
                self._take(step, env)

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
        owner = self.folder / "services"
        return Child(words, name=name, env=env, cwd=self.tool.cwd, log=self._log(name), owner=owner)

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

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
        self._go_on()
        for child in self.children:
            if child.returncode() is not None:
                raise PermanentError(
                    f"{self.tool.name}: {child.name} {child.ending()}: {child.last_line()}; see {child.log}"
                )

    def _go_on(self) -> None:
        if self.stop.is_set():
            raise TransientError(f"{self.tool.name}: start interrupted")
        self.check()

    def _call(
        self, verb: str, request: Message | Mapping[str, Any], stall_s: float, check: Callable[[], None] | None = None
    ) -> dict[str, Any]:
        check = check or self._alive
        return driver.call(self.tool, verb, request, folder=self.folder, env=self.env, stall_s=stall_s, check=check)


def free_ports(names: list[str]) -> dict[str, int]:
    """A free loopback port for each name, all different."""
    with ExitStack() as held:
        sockets = {name: held.enter_context(socket.socket()) for name in names}
        for each in sockets.values():
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in sockets.items()}
