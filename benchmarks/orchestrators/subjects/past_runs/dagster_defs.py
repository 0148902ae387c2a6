"""A run in Dagster that executes a job many times in its own process, each time as a run of the same instance."""

import dagster as dg

from benchmarks.orchestrators.fibonacci import fibonacci
from benchmarks.orchestrators.shapes import PAST_RUN, PAST_RUNS, QUICK


@dg.op(ins={"start": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def step() -> None:
    """Compute a Fibonacci number."""
    fibonacci(QUICK)


@dg.job(name=PAST_RUN.name, executor_def=dg.in_process_executor)
def past_run() -> None:
    """Run the step three times."""
    first, second, third = PAST_RUN.tasks
    step.alias(third)(step.alias(second)(step.alias(first)()))


@dg.op(config_schema={"runs": int})
def make(context: dg.OpExecutionContext) -> None:
    """Make the runs."""
    for _ in range(context.op_config["runs"]):
        past_run.execute_in_process(instance=context.instance)


@dg.config_mapping(config_schema={"runs": int})
def parameters(given: dict[str, int]) -> dict[str, object]:
    """Return the run config: the launchpad asks for the number only."""
    return {"ops": {"make": {"config": given}}}


@dg.job(name=PAST_RUNS.name, executor_def=dg.in_process_executor, config=parameters)
def past_runs() -> None:
    """Make as many runs as this one is told."""
    make()


defs = dg.Definitions(jobs=[past_run, past_runs])
