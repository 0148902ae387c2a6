"""The chains in which each run is a process, and its tasks are calls in it."""

from __future__ import annotations

from benchmarks.orchestrators.shapes import CHAINS, RUN_PROCESSES

PIPELINES = [chain.pipeline(RUN_PROCESSES) for chain in CHAINS]
