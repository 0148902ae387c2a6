"""The month whose steps do nothing."""

from __future__ import annotations

from benchmarks.orchestrators.shapes import NO_OP

PIPELINES = [NO_OP]
