"""A load of a month, and the incremental model on it."""

from core.lab.protocol import Parameter, Pipeline

BUILD = "null_key"

PIPELINES = [
    Pipeline(
        name=BUILD,
        tasks=["published", "built"],
        main="published",
        month="none",
        parameters={
            "schema": Parameter("Where the tables are"),
            "version": Parameter("What is published: `first` or `corrected`"),
        },
    )
]
