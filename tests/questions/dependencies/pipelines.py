"""The pipelines of the question: one publishes a month, and each of the others builds it afterwards, in its own way."""

from __future__ import annotations

from core.lab.protocol import Pipeline

UPSTREAM = "publish_month"

WAYS = {
    "push": "build_when_told",
    "call": "build_after_call",
    "poll": "build_after_poll",
    "poll deferred": "build_after_poll_deferred",
    "event": "build_on_event",
}
"""The downstream pipelines, by the way in which they depend on the upstream one."""


def pipeline(name: str, task: str) -> Pipeline:
    """Return a pipeline by the task that does its work; another one may come before it."""
    return Pipeline(name, tasks=[task], main=task)


# What Dagster makes of an asset by itself is known by the asset's name.
PIPELINES = [
    pipeline(UPSTREAM, "published_month"),
    *(pipeline(name, "built_month" if way == "event" else "build") for way, name in WAYS.items()),
]
