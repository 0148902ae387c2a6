"""Tasks side by side in Dagster, with any executor: the dynamic output of one op, mapped to another."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from benchmarks.orchestrators.fibonacci import fibonacci
from benchmarks.orchestrators.shapes import QUICK, wide


@dg.op(out=dg.DynamicOut(int), config_schema={"tasks": int})
def numbers(context: dg.OpExecutionContext) -> Iterator[dg.DynamicOutput[int]]:
    """Yield as many numbers as the run is told."""
    for number in range(context.op_config["tasks"]):
        yield dg.DynamicOutput(number, mapping_key=str(number))


@dg.op(out=dg.Out(dg.Nothing))
def step(number: int) -> None:
    """Compute a Fibonacci number."""
    fibonacci(QUICK)


@dg.config_mapping(config_schema={"tasks": int})
def parameters(given: dict[str, Any]) -> dict[str, Any]:
    """Return the run config: the launchpad asks for the number only."""
    return {"ops": {"numbers": {"config": given}}}


def definitions(isolation: str, executor: dg.ExecutorDefinition) -> dg.Definitions:
    """Return the job, whose steps `executor` runs."""

    @dg.job(name=wide(isolation).name, executor_def=executor, config=parameters)
    def pipeline() -> None:
        numbers().map(step)

    return dg.Definitions(jobs=[pipeline])
