"""CPU seconds and peak memory by role (`benchmarks.orchestrators.roles`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain

import psutil

from benchmarks.harness.measure import Row
from benchmarks.orchestrators.roles import LAB, ROLES, RUN, Roles
from benchmarks.orchestrators.watch import Memory, pss_mb
from core.lab import processes

RARELY = 4
"""PostgreSQL and dbt are in one of so many looks: they have up to 90 processes more, each of which takes 0.3 ms."""


def cpu_key(role: str) -> str:
    """Return the name of a role's CPU seconds in a row."""
    return f"cpu_{_word(role)}_s"


def peak_key(role: str) -> str:
    """Return the name of a role's peak memory in a row."""
    return f"peak_{_word(role)}_mb"


def _word(role: str) -> str:
    return role.replace(" ", "_").lower()


@dataclass
class CpuByRole:
    """Meters CPU seconds from the process trees: the kernel adds those of an ended process to its parent's account.

    That needs a parent that waits for it, and those of tasks and runs do.
    """

    roles: Roles
    _before: Mapping[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Remember what has been used."""
        self._before = self._used()

    def end(self) -> Row:
        """Return what was used since."""
        used = self._used()
        return {cpu_key(role): round(used[role] - self._before.get(role, 0.0), 2) for role in ROLES if role in used}

    def _used(self) -> dict[str, float]:
        found: dict[str, float] = defaultdict(float)
        for role, seconds in self._times():
            found[role] += seconds
        return found

    def _times(self) -> Iterator[tuple[str, float]]:
        us = psutil.Process()
        own, ended = _cpu_s(us)
        yield from ((LAB, own), (LAB if self.roles.has_services else RUN, ended))
        for role, root in self.roles.roots.items():
            yield from ((role, sum(_cpu_s(process))) for process in _tree(root))
        trees = chain.from_iterable(map(_tree, self.roles.started()))
        for process in {*trees, *processes.members(self.roles.owner)}:
            role = self.roles.of_process(process)
            own, ended = _cpu_s(process)
            yield from ((role, own), (self.roles.of_ended(role), ended))


def _tree(root: psutil.Process) -> list[psutil.Process]:
    """Return a process and all below it, also those that have ended and were not waited for yet."""
    with suppress(psutil.Error):
        return [root, *root.children(recursive=True)]
    return []


def _cpu_s(process: psutil.Process) -> tuple[float, float]:
    """Return the CPU seconds of a process, and of those that it has waited for."""
    with suppress(psutil.Error):
        times = process.cpu_times()
        return times.user + times.system, times.children_user + times.children_system
    return 0.0, 0.0


class MemoryByRole(Memory):
    """Watches the sum of each role as well, and keeps the largest of each: they need not be of the same moment."""

    def __init__(self, roles: Roles) -> None:
        super().__init__(roles.owner)
        self._roles, self._looks = roles, 0
        self._peaks: dict[str, float] = {}

    def look(self) -> None:
        """Take one sample."""
        held: dict[str, float] = defaultdict(float)
        for process in processes.members(self._roles.owner):
            held[self._roles.of_process(process)] += pss_mb(process)
        self.peak_mb = max(self.peak_mb, sum(held.values()))
        if self._looks % RARELY == 0:
            held |= {role: sum(map(pss_mb, _tree(root))) for role, root in self._roles.roots.items()}
        self._looks += 1
        for role, megabytes in held.items():
            self._peaks[role] = max(self._peaks.get(role, 0.0), megabytes)

    def stop(self) -> Row:
        """Stop watching; return the peak of all the orchestrator's processes together, and that of each role."""
        row = super().stop()
        return row | {peak_key(role): round(self._peaks[role], 1) for role in ROLES if role in self._peaks}
