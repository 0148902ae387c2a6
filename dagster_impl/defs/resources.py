"""What every run shares: the run parameters as a resource, and the executor."""

import dagster as dg
from pydantic import Field

from core.run import DATASET, HELP, DatasetName, Run, StrategyName
from core.settings import default_source


class Parameters(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """What to load, and into which schema: the defaults of the launchpad, which a run or a backfill may override.

    A resource and not a `dg.Config`, which belongs to one op: all steps of a run share one set of values, and with a
    `Config` a user would have to enter them for each step.
    """

    source: str = Field(default=default_source(), description=HELP["source"])
    # `schema` is a method of every pydantic model, and a field of that name warns: only its key is called so.
    target: str = Field(default="dagster", alias="schema", description=HELP["schema"])
    strategy: StrategyName = Field(default="swap", description=HELP["strategy"])
    force: bool = Field(default=False, description=HELP["force"])
    accept_suspect: bool = Field(default=False, description=HELP["accept_suspect"])
    strict: bool = Field(default=False, description=HELP["strict"])
    dataset: DatasetName = Field(default=DATASET, description=HELP["dataset"])

    def run(self, run_id: str) -> Run:
        """Return the parameters as the pipeline takes them, for the run `run_id`."""
        return Run(
            source=self.source,
            schema=self.target,
            strategy=self.strategy,
            force=self.force,
            accept_suspect=self.accept_suspect,
            strict=self.strict,
            dataset=self.dataset,
            loader="dagster",
            run_id=run_id,
        )


SCHEMA = Parameters().target
"""The schema that is written unless a run's parameters name another one."""


@dg.definitions
def resources() -> dg.Definitions:
    """Return the run parameters and an executor that runs the steps in the run's own process.

    The default executor starts an interpreter for each step, which costs 3.6 CPU s, six times a month.
    """
    return dg.Definitions(resources={"parameters": Parameters()}, executor=dg.in_process_executor)
