"""A load that takes the one slot of a limit, and works until it is ended."""

from core.lab.protocol import Parameter, Pipeline

SLOT = "slot_before_end"
"""The pool or limit, and the pipeline."""

PIPELINES = [
    Pipeline(
        name=SLOT,
        tasks=["work_in_slot"],
        main="work_in_slot",
        month="none",
        parameters={
            "folder": Parameter("Where the task says that it works, and until when"),
            "name": Parameter("What this run is called there"),
        },
    )
]
