"""The chains in which each run has a pool of processes for its tasks."""

from __future__ import annotations

from benchmarks.orchestrators.shapes import CHAINS, RUN_POOL

PIPELINES = [chain.pipeline(RUN_POOL) for chain in CHAINS]
