"""A load that takes the one slot of a limit, and whose first attempt fails."""

from core.lab.protocol import Parameter, Pipeline

SLOT = "slot_in_retry"
"""The pool or limit, and the pipeline."""

PIPELINES = [
    Pipeline(
        name=SLOT,
        tasks=["take_slot"],
        main="take_slot",
        month="none",
        parameters={
            "folder": Parameter("Where the task writes down that it has the slot"),
            "name": Parameter("What this run is called there"),
        },
    )
]
