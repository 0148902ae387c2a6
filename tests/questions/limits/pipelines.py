"""The pipeline of the question: its task `transform` uses the pool of the same name, and holds it until it is told."""

from __future__ import annotations

from core.lab.protocol import Parameter, Pipeline

POOL = "transform"

PIPELINES = [
    Pipeline(
        name="limited",
        tasks=["begin", "transform", "report"],
        main="transform",
        month="none",
        parameters={
            "folder": Parameter("Where the task says that it has begun, and waits for the file `open`"),
            "name": Parameter("What this run is called there"),
        },
    )
]
