"""A pipeline whose file `benchmarks.orchestrators.edits` edits, in a copy."""

from __future__ import annotations

from benchmarks.orchestrators.shapes import EDITED

PIPELINES = [EDITED]
