"""The chains in which each task is a new interpreter."""

from __future__ import annotations

from benchmarks.orchestrators.shapes import CHAINS, TASK_INTERPRETERS

PIPELINES = [chain.pipeline(TASK_INTERPRETERS) for chain in CHAINS]
