"""The steps that bring services up: each runs a command to its end, starts a process, or waits for an answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from core.errors import PermanentError
from core.lab.identity import Identity
from core.lab.processes import ENDING_S, Child
from core.lab.protocol import Step, write_json
from core.lab.registry import Orchestrator
from core.waiting import until

STEP_S = 300.0
"""The limit for a `run` or `wait` step, and for `ready`: Airflow's migration takes 13 s, 60 s on a busy machine."""


def label(step: Step) -> str:
    """Return what a step does, as the screen shows it: ``starting scheduler``."""
    if step.wait:
        return f"waiting for {urlsplit(step.wait).path}"
    words = step.run or step.start or []
    return f"{'running' if step.run else 'starting'} {step.name or Path(words[0]).name}"


@dataclass
class Steps:
    """Takes the steps of one orchestrator, and knows the processes that it started. `folder` is the orchestrator's."""

    orchestrator: Orchestrator
    folder: Path
    go_on: Callable[[], None]
    """Raises when the start was interrupted, or the services were given up."""
    children: list[Child] = field(default_factory=list)

    def take(self, step: Step, env: Mapping[str, str], context: Sequence[str]) -> None:
        """Take one step. A `once` step is not repeated while its words and `context` stay the same."""
        if step.start:
            self.children.append(self._spawn(step.start, env, step.name or Path(step.start[0]).name))
        elif step.wait:
            self._wait(step.wait)
        elif step.run and step.once:
            self._once(step, step.run, env, context)
        elif step.run:
            self._run(step, step.run, env)

    def check_alive(self) -> None:
        """Raise when a service has died, with its last words, or when `go_on` raises."""
        self.go_on()
        for child in self.children:
            if child.returncode() is not None:
                raise PermanentError(
                    f"{self.orchestrator.name}: {child.name} {child.ending()}: {child.last_line()}; see {child.log}"
                )

    def death(self, identity: Identity) -> str:
        """Return how a service ended, and where its log is."""
        child = next((child for child in self.children if child.identity == identity), None)
        how, log = child.ending() if child else "ended", self._log(identity.name)
        cause = f": {child.last_line()}" if child and (child.returncode() or 0) > 0 else ""
        return f"{self.orchestrator.name}: {identity.name} {how}{cause}; see {log}"

    def forget_ended(self) -> None:
        """Reap and forget the processes that have ended."""
        # Not `returncode`, which may be None while another thread looks at a child that has ended.
        ended = [child for child in self.children if not child.identity.process()]
        self.children = [child for child in self.children if child not in ended or child.wait(ENDING_S) is None]

    def let_go(self) -> None:
        """Let the processes that still run outlive this one."""
        for child in self.children:
            child.let_go()

    def forget_once(self) -> None:
        """Repeat the `once` steps the next time: they were done to another database."""
        self._book.unlink(missing_ok=True)

    def _spawn(self, words: list[str], env: Mapping[str, str], name: str) -> Child:
        # `subprocess` would look the name up in our PATH, and not in the orchestrator's.
        own = self.orchestrator.python.parent / words[0]
        words = [str(own) if own.exists() else words[0], *words[1:]]
        owner = self.folder / "services"
        return Child(words, name=name, env=env, cwd=self.orchestrator.cwd, log=self._log(name), owner=owner)

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _run(self, step: Step, words: list[str], env: Mapping[str, str]) -> None:
        what = f"{self.orchestrator.name}: `{' '.join(words)}`"
        child = self._spawn(words, env, step.name or Path(words[0]).name)
        self._until(lambda: None if child.wait(0.05) is None else True, what)
        if code := child.returncode():
            raise PermanentError(f"{what} ended with {code}: {child.last_line()}; see {child.log}")

    def _once(self, step: Step, words: list[str], env: Mapping[str, str], context: Sequence[str]) -> None:
        key = hashlib.sha256(json.dumps([words, *context]).encode()).hexdigest()
        if key not in (done := self._done()):
            self._run(step, words, env)
            write_json(self._book, [*done, key])

    def _done(self) -> list[str]:
        """Return the keys of the `once` steps that are done; none if the file is unreadable: each may be repeated."""
        try:
            done: list[str] = json.loads(self._book.read_text())
        except (FileNotFoundError, ValueError):
            return []
        return done

    @property
    def _book(self) -> Path:
        """Where the `once` steps that are done are recorded."""
        return self.folder / "once.json"

    def _wait(self, url: str) -> None:
        def answers() -> bool | None:
            try:
                return client.get(url).status_code == 200 or None
            except httpx.TransportError:
                return None

        with httpx.Client(timeout=10, trust_env=False) as client:
            self._until(answers, f"{self.orchestrator.name}: {url}")

    def _until(self, probe: Callable[[], bool | None], what: str) -> None:
        def watched() -> bool | None:
            self.check_alive()
            return probe()

        until(watched, STEP_S, 0.1, what)
