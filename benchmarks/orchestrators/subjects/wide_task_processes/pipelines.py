"""Tasks side by side, where each task is a process."""

from __future__ import annotations

from benchmarks.orchestrators.shapes import TASK_PROCESSES, wide

PIPELINES = [wide(TASK_PROCESSES)]
