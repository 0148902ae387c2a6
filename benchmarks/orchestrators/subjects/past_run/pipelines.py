"""A run that costs as little as one that goes through the services can."""

from __future__ import annotations

from benchmarks.orchestrators.shapes import PAST_RUN

PIPELINES = [PAST_RUN]
