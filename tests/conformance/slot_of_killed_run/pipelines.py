"""A load that takes the one slot of a limit, and holds it until it is told to end."""

from core.lab.protocol import Parameter, Pipeline

SLOT = "slot_of_killed_run"
"""The pool or limit, and the pipeline."""

PIPELINES = [
    Pipeline(
        name=SLOT,
        tasks=["hold_slot"],
        main="hold_slot",
        month="none",
        parameters={
            "folder": Parameter("Where the task says that it has begun, and waits for the file `open`"),
            "name": Parameter("What this run is called there"),
        },
    )
]
