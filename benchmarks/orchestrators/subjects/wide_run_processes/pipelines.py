"""Tasks side by side, where each run is a process, and its tasks are calls in it."""

from __future__ import annotations

from benchmarks.orchestrators.shapes import RUN_PROCESSES, wide

PIPELINES = [wide(RUN_PROCESSES)]
