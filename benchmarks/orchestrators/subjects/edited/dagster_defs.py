"""A step in Dagster that reports a constant."""

import dagster as dg

from benchmarks.orchestrators.shapes import EDITED

VALUE = "as written"


@dg.op
def step(context: dg.OpExecutionContext) -> None:
    """Report the constant."""
    context.add_output_metadata({"value": VALUE})


@dg.job(name=EDITED.name, executor_def=dg.in_process_executor)
def edited() -> None:
    """Run the step."""
    step()


defs = dg.Definitions(jobs=[edited])
