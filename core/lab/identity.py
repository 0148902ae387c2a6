"""Which process is meant: a pid alone may be another process's by now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

_CLOCK_S = 0.05
"""Two readings of one process's start time agree to the clock tick, 0.01 s."""


@dataclass(frozen=True)
class Identity:
    """A process by its pid and its start, so that a recycled pid is never taken for it.

    `started` is in seconds since `boot`, which names this start of the machine. The time of day would not do: the
    kernel states the time of boot in whole seconds, and correcting the clock by some hundredths can move that by a
    second.
    """

    name: str
    pid: int
    boot: str
    started: float

    @classmethod
    def of(cls, name: str, pid: int) -> Identity:
        """Return the identity of the process that has `pid` now. Raise `psutil.NoSuchProcess` when there is none."""
        return cls(name, pid, boot_id(), _started(pid))

    def is_held(self) -> bool:
        """Return whether this process, or its zombie, still has the pid. Raise `psutil.NoSuchProcess` when none has."""
        return self.boot == boot_id() and abs(_started(self.pid) - self.started) < _CLOCK_S

    def process(self) -> psutil.Process | None:
        """Return the living process, or None when it has ended."""
        try:
            process = psutil.Process(self.pid)
            alive = self.is_held() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


def boot_id() -> str:
    """Return a name for this start of the machine that no other start has."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    # Not Linux.
    except FileNotFoundError:
        return str(psutil.boot_time())


def _started(pid: int) -> float:
    """Return when the process started: on Linux in seconds since the machine's start, elsewhere by the clock."""
    while True:
        boot = psutil.boot_time()
        started = psutil.Process(pid).create_time()
        # Otherwise the clock was set between the two readings.
        if psutil.boot_time() == boot:
            return started - boot if psutil.LINUX else started
