"""Random kills: up to three processes at a time, each ended by SIGKILL at a random instant, and told by phase.

A child notes its phase in shared memory, which outlives it. Imports little: the contrast runs where the lab is not installed.
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
    """A run of kills: what was done is written to `history`, one JSON object to a line."""

    def __init__(self, phases: tuple[str, ...], history: Path, draw: random.Random) -> None:
        self.phases, self.by_phase = phases, Counter[str]()
        self.ended = Counter[str]()
        self._marks = mmap.mmap(-1, LOADERS)
        self._draw, self._history = draw, history
        self._typical_s = 0.2
        self._due: dict[int, tuple[Child, float, str]] = {}

    @property
    def kills(self) -> int:
        """How many processes were killed before they ended."""
        return sum(self.by_phase.values())

    def note(self, what: str, **facts: Any) -> None:
        """Write a line of the history."""
        with self._history.open("a") as file:
            file.write(json.dumps({"at": round(time.time(), 4), "what": what, **facts}) + "\n")

    def start(self, step: Step, about: str) -> None:
        """Start `step` in a free place; it will be killed somewhen within 1.2 times what a whole run takes."""
        slot = next(number for number in range(LOADERS) if number not in self._due)
        self._marks[slot] = 0

        def mark(phase: str) -> None:
            self._marks[slot] = self.phases.index(phase)

        child = Child(lambda: step(mark))
        self._due[slot] = child, child.started + self._draw.uniform(0.0, 1.2 * self._typical_s), about

    @property
    def is_full(self) -> bool:
        """Whether no place is free."""
        return len(self._due) == LOADERS

    def look(self) -> None:
        """Kill what is due, and note what has ended."""
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
                self._typical_s *= 1.02  # else, where hardly any gets through, the late phases would never be met
            else:
                self.ended[child.ended.how] += 1
                # what a whole run takes when up to three are at work
                self._typical_s += 0.1 * (time.monotonic() - child.started - self._typical_s)
            self.note("end", how=child.ended.how, said=child.ended.said, phase=phase, step=about)

    def drain(self) -> None:
        """Wait until nothing runs; what is due on the way is killed."""
        while self._due:
            self.look()
            time.sleep(0.0005)
