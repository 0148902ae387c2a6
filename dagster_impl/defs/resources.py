"""What every run shares: the run parameters as a resource, and the executor."""

import dagster as dg
from pydantic import Field

from core.run import STRATEGIES, Run


class Parameters(dg.ConfigurableResource):  # type: ignore[type-arg]  # the resource is its own value
    """What to load, and into which schema. A backfill sets other values in its run config, under this resource."""

    source: str = Field(default="tlc", description="A folder, an http(s) prefix, or tlc: the publisher.")
    # `schema` is a method of every pydantic model: a field of that name warns, so the name differs and the key does not.
    target: str = Field(default="dagster", alias="schema", description="The PostgreSQL schema that is written.")
    strategy: str = Field(default="swap", description=f"How a month is published: {', '.join(STRATEGIES)}.")
    force: bool = Field(default=False, description="Load again even when the ledger shows the same bytes.")
    accept_suspect: bool = Field(default=False, description="Publish files that look wrong, such as another month's.")
    strict: bool = Field(default=False, description="Fail a month for a warning of a data test too.")

    def run(self, run_id: str) -> Run:
        """Return the parameters of one run as the pipeline takes them."""
        return Run(
            source=self.source,
            schema=self.target,
            strategy=self.strategy,
            force=self.force,
            accept_suspect=self.accept_suspect,
            strict=self.strict,
            loader="dagster",
            run_id=run_id,
        )


@dg.definitions
def resources() -> dg.Definitions:
    """In-process steps: the default executor starts an interpreter for each step, 3.6 CPU s of it four times a month."""
    return dg.Definitions(resources={"parameters": Parameters()}, executor=dg.in_process_executor)
