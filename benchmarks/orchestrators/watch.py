"""How a turn of an orchestrator is measured: wall and CPU seconds, memory, and what further meters say."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import psutil

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from core.lab import processes

SAMPLE_S = 0.5
"""The pause between two looks at the memory. A look takes 20 ms, so this costs 2% of both cores at most."""


class Meter(Protocol):
    """What measures something else of the same block."""

    def begin(self) -> None:
        """Called before the clock starts."""

    def end(self) -> Row:
        """Return what was measured; called after the clock has stopped."""


class Memory(threading.Thread):
    """Watches the memory of the processes that run on behalf of a folder, and keeps the largest sum, in MB.

    Each process counts with its proportional set size (PSS), which splits a shared page among those that share it: the
    sum of resident sizes counts Airflow's forks several times.
    """

    def __init__(self, owner: Path) -> None:
        super().__init__(daemon=True)
        self.peak_mb, self._owner, self._done = 0.0, owner, threading.Event()

    def run(self) -> None:
        """Look until `stop`."""
        while not self._done.wait(SAMPLE_S):
            self.look()

    def look(self) -> None:
        """Take one sample."""
        self.peak_mb = max(self.peak_mb, sum(map(pss_mb, processes.members(self._owner))))

    def stop(self) -> Row:
        """Stop watching; return the peak."""
        self._done.set()
        self.join()
        return {"peak_mb": round(self.peak_mb, 1)}


def pss_mb(process: psutil.Process) -> float:
    """Return what a process holds, in MB; nothing for one that has ended."""
    with suppress(psutil.Error, OSError):
        return float(process.memory_full_info().pss) / 2**20
    return 0.0


@contextmanager
def measured(memory: Memory, meters: Sequence[Meter] = ()) -> Iterator[Row]:
    """Measure the block. The yielded row has ``wall_s``, ``cpu_s`` and ``peak_mb`` once the block has ended.

    It then has what the `meters` say, too. They begin one after the other, and end in the opposite order.
    """
    row: Row = {}
    for meter in meters:
        meter.begin()
    memory.start()
    cpu_s, wall_s = measure.machine_cpu_s(), time.perf_counter()
    try:
        yield row
    finally:
        row["wall_s"] = round(time.perf_counter() - wall_s, 2)
        row["cpu_s"] = round(measure.machine_cpu_s() - cpu_s, 2)
        row |= memory.stop()
    for meter in reversed(meters):
        row |= meter.end()
