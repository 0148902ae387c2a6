"""A run that makes many others in its own process."""

from __future__ import annotations

from benchmarks.orchestrators.shapes import PAST_RUNS

PIPELINES = [PAST_RUNS]
