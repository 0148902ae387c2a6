"""The pipeline of the question: a task returns a value of a kind, and two more take it, each in a way of its own."""

from __future__ import annotations

from core.lab.protocol import Parameter, Pipeline

KINDS = (
    "text", "no text", "bytes", "no bytes", "int keys", "set", "tuple", "decimal", "nan", "datetime with zone", "path",
    "dataclass", "receipt", "DataFrame", "Arrow table",
)  # fmt: skip

PIPELINES = [
    Pipeline(
        name="values",
        tasks=["produce", "take", "pull"],
        main="produce",
        month="none",
        parameters={
            "kind": Parameter("What `produce` returns", default="text", choices=list(KINDS)),
            "size": Parameter("The number of characters of a text", default=5),
        },
    )
]
