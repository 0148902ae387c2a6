"""The pipelines of the question: a month in three steps that are retried, and one step that has a time-out."""

from __future__ import annotations

from core.lab.protocol import Pipeline

PIPELINES = [
    Pipeline(name="recover", tasks=["fetch", "load", "report"], main="load"),
    Pipeline(name="timed", tasks=["write"], main="write"),
]
