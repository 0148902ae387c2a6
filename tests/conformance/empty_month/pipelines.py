"""A month goes through the steps of the taxi pipeline: it is loaded, and its models are built and tested."""

from core.lab.protocol import Parameter, Pipeline

PIPELINES = [
    Pipeline(
        name="empty_month",
        tasks=["load", "build"],
        main="load",
        month="none",
        parameters={
            "source": Parameter("Where the files are"),
            "tables": Parameter("The schema of the tables"),
            "month": Parameter("Which month"),
            "accept": Parameter("Publish a file that looks wrong", default=False),
        },
    )
]
