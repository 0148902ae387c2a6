"""A load and its model in Dagster: an op publishes the month, and another one runs dbt."""

from typing import Any

import dagster as dg

from tests.conformance.null_key import work

STARTED = {"start": dg.In(dg.Nothing)}


@dg.op(config_schema={"schema": str, "version": str})
def published(context: dg.OpExecutionContext) -> None:
    """Publish a version of the month."""
    work.publish(**context.op_config)


@dg.op(config_schema={"schema": str}, ins=STARTED)
def built(context: dg.OpExecutionContext) -> None:
    """Build the model."""
    work.build(context.op_config["schema"])


@dg.config_mapping(config_schema={"schema": str, "version": str})
def parameters(given: dict[str, str]) -> dict[str, Any]:
    """Return the run config: the launchpad asks for each parameter once."""
    return {"ops": {"published": {"config": given}, "built": {"config": {"schema": given["schema"]}}}}


@dg.job(config=parameters)
def null_key() -> None:
    """Publish a version of the month, and build the model."""
    built(published())


defs = dg.Definitions(jobs=[null_key])
