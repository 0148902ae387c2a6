"""The chains in which each task is a process."""

from __future__ import annotations

from benchmarks.orchestrators.shapes import CHAINS, TASK_PROCESSES

PIPELINES = [chain.pipeline(TASK_PROCESSES) for chain in CHAINS]
