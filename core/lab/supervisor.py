"""Watches what the lab started: a death is reported at once, and what died is started again, a bounded number of times.

Each command that runs a backfill watches, including services that another command started: their processes are on
record.

Why not a library: honcho ends everything when one process ends. supervisord and circus are resident daemons, which
restart only their own children, and without a limit once these have run for a while; here the services outlive the
command that started them, any command may restart them, and the rest of a dead leader's session must be ended first
(`processes.end_rest`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, Self

from core.errors import PermanentError, TriptychError
from core.lab.identity import Identity

LOOK_S = 0.5
"""How often it checks that all processes live: 0.1 ms of CPU each time."""

PAUSES_S = (2.0, 5.0, 10.0)
"""How long to wait after each restart of a service within a backfill. No restart follows the last one."""


class Unit(Protocol):
    """What is watched: PostgreSQL, the warm dbt server, or one orchestrator's services."""

    @property
    def name(self) -> str:
        """Its name on the screen."""

    @property
    def identities(self) -> Sequence[Identity]:
        """The processes that should be alive."""

    def death(self, identity: Identity) -> str:
        """Return how one of them ended, and where its log is."""

    def revive(self) -> None:
        """Start again what has ended, unless another command has done so. Raise `TriptychError` when that fails.

        What was ended on purpose is not started again, and leaves the `identities`.
        """


class Supervisor:
    """Watches one unit on a thread, as long as any caller is in its ``with`` block.

    When a `vital` unit stays dead, `check` raises. The death of another one is only reported.
    """

    def __init__(
        self,
        unit: Unit,
        say: Callable[[str], None],
        *,
        vital: bool = True,
        is_ended: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_ended` returns whether somebody has ended everything: nothing is then reported or started again."""
        self.unit, self.lines = unit, list[str]()
        self._say, self._vital, self._is_ended = say, vital, is_ended
        self._lock, self._users = threading.Lock(), 0
        self._over = threading.Event()
        self._failure: TriptychError | None = None

    def __enter__(self) -> Self:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self.lines, self._failure, self._over = [], None, threading.Event()
                self._thread = threading.Thread(target=self._run, name=f"supervisor of {self.unit.name}", daemon=True)
                self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._over.set()
                self._thread.join()

    def check(self) -> None:
        """Raise when the unit died more often than it may."""
        if self._failure:
            raise self._failure

    def _report(self, line: str) -> None:
        self.lines.append(line)
        self._say(line)

    def _run(self) -> None:
        try:
            self._watch()
        except TriptychError as error:
            self._failure = error if self._vital else None
            self._report(str(error))
        except Exception as error:
            self._failure = PermanentError(f"{self.unit.name}: {type(error).__name__}: {error} (this is a bug)")

    def _watch(self) -> None:
        deaths: dict[Identity, str] = {}
        restarts: Counter[str] = Counter()
        not_before = 0.0
        while not self._over.wait(LOOK_S) and not self._is_ended():
            dead = [each for each in self.unit.identities if not each.process()]
            for each in dead:
                if each not in deaths:
                    deaths[each] = self.unit.death(each)
                    self._report(deaths[each])
                if restarts[each.name] == len(PAUSES_S):
                    raise PermanentError(f"{deaths[each]}; given up after {len(PAUSES_S)} restarts")
            if dead and time.monotonic() >= not_before:
                restarts.update(each.name for each in dead)
                self._restart(dead, restarts)
                not_before = time.monotonic() + max(PAUSES_S[restarts[each.name] - 1] for each in dead)

    def _restart(self, dead: Sequence[Identity], restarts: Counter[str]) -> None:
        try:
            self.unit.revive()
        except TriptychError as error:
            self._report(f"{self.unit.name}: restart failed: {error}")
        else:
            alive = {each.name for each in self.unit.identities}
            lines = [f"{each.name} ({restarts[each.name]} of {len(PAUSES_S)})" for each in dead if each.name in alive]
            if lines:
                self._report(f"{self.unit.name}: restarted {', '.join(lines)}")
