"""A load that works until it is told to end; and, in Prefect, a flow that creates the automation."""

from core.lab.protocol import Parameter, Pipeline

RUN, WATCH = "zombie_run", "zombie_run_watch"

PIPELINES = [
    Pipeline(
        name=RUN,
        tasks=["work_on"],
        main="work_on",
        month="none",
        parameters={
            "folder": Parameter("Where the task says that it has begun, and waits for the file `open`"),
            "name": Parameter("What this run is called there"),
        },
    )
]
