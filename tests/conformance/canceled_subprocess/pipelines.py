"""One task that runs a program, which goes on until somebody ends it."""

from core.lab.protocol import Parameter, Pipeline

PIPELINES = [
    Pipeline(
        name="canceled_subprocess",
        tasks=["build"],
        main="build",
        month="none",
        parameters={"name": Parameter("What the program is called in PostgreSQL")},
    )
]
