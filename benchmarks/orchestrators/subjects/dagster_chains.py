"""Chains in Dagster, with any executor. Without postponed annotations, which Dagster's decorators need to read."""

import dagster as dg

from benchmarks.orchestrators.fibonacci import fibonacci
from benchmarks.orchestrators.shapes import CHAINS, Chain

FORKED = dg.multiprocess_executor.configured(
    {"start_method": {"forkserver": {"preload_modules": ["dagster", "dagster_postgres", "dagster_impl.definitions"]}}},
    name="forked",
)
"""The executor that forks a process for each step; the modules that a step imports are imported before."""


def definitions(isolation: str, executor: dg.ExecutorDefinition) -> dg.Definitions:
    """Return a job for each chain, whose steps `executor` runs."""
    return dg.Definitions(jobs=[_job(chain, isolation, executor) for chain in CHAINS])


def _job(chain: Chain, isolation: str, executor: dg.ExecutorDefinition) -> dg.JobDefinition:
    @dg.op(name=f"{chain.name}_step", ins={"start": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
    def step() -> None:
        fibonacci(chain.number)

    @dg.job(name=chain.pipeline(isolation).name, executor_def=executor)
    def pipeline() -> None:
        first, *others = chain.tasks
        before = step.alias(first)()
        for name in others:
            before = step.alias(name)(before)

    return pipeline
