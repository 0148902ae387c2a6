"""Random kills: up to three processes at a time, each ended by SIGKILL at a random instant, and counted by phase.

A child notes its phase in shared memory, which outlives it. This module imports little, because the contrast runs in an
environment without the lab.
"""

from __future__ import annotations

import json
import mmap
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.injector import Child

LOADERS = 3
TIMEOUT_S = 60.0

Mark = Callable[[str], None]
Step = Callable[[Mark], str]


class Soak:
    """A series of kills, recorded in `history`, one JSON object to a line."""

    def __init__(self, phases: tuple[str, ...], history: Path, draw: random.Random) -> None:
        self.phases, self.by_phase = phases, Counter[str]()
        self.ended = Counter[str]()
        self._marks = mmap.mmap(-1, LOADERS)
        self._draw, self._history = draw, history
        self._typical_s = 0.2
        self._due: dict[int, tuple[Child, float, str]] = {}

    @property
    def kills(self) -> int:
        """The number of processes that were killed before they ended."""
        return sum(self.by_phase.values())

    def note(self, what: str, **facts: Any) -> None:
        """Append a line to the history."""
        with self._history.open("a") as file:
            file.write(json.dumps({"at": round(time.time(), 4), "what": what, **facts}) + "\n")

    def start(self, step: Step, about: str) -> None:
        """Start `step` in a free slot. It will be killed at some time within 1.2 times what a complete run takes."""
        slot = next(number for number in range(LOADERS) if number not in self._due)
        self._marks[slot] = 0

        def mark(phase: str) -> None:
            self._marks[slot] = self.phases.index(phase)

        child = Child(lambda: step(mark))
        self._due[slot] = child, child.started + self._draw.uniform(0.0, 1.2 * self._typical_s), about

    @property
    def is_full(self) -> bool:
        """Whether no slot is free."""
        return len(self._due) == LOADERS

    def look(self) -> None:
        """Kill the processes that are due, and note those that have ended."""
        for slot, (child, due, about) in list(self._due.items()):
            if child.poll() is None and time.monotonic() >= due:
                child.kill()
                child.wait(TIMEOUT_S)
            if child.ended is None:
                continue
            del self._due[slot]
            phase = self.phases[self._marks[slot]]
            if child.ended.how == "SIGKILL":
                self.by_phase[phase] += 1
                # Without this, the late phases would never be reached where hardly any process gets through.
                self._typical_s *= 1.02
            else:
                self.ended[child.ended.how] += 1
                # A moving average of what a complete run takes while up to three are at work.
                self._typical_s += 0.1 * (time.monotonic() - child.started - self._typical_s)
            self.note("end", how=child.ended.how, said=child.ended.said, phase=phase, step=about)

    def drain(self) -> None:
        """Wait until nothing runs, and kill what becomes due until then."""
        while self._due:
            self.look()
            time.sleep(0.0005)
