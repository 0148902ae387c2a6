"""A month without rows in Dagster: two ops, of which the second one waits for the first."""

from typing import Any

import dagster as dg

from tests.conformance.empty_month import steps


class Order(dg.Config):
    """The config of both ops."""

    source: str = ""
    tables: str = ""
    month: str = ""
    accept: bool = False


@dg.op
def load(config: Order) -> dict[str, Any]:
    """Load a month."""
    return steps.load(config.source, config.tables, config.month, config.accept)


@dg.op(ins={"loaded": dg.In(dg.Nothing)})
def build(config: Order) -> None:
    """Build its models."""
    steps.build(config.source, config.tables, config.month)


@dg.config_mapping
def parameters(given: Order) -> dg.RunConfig:
    """Return the run config: both ops get the same."""
    return dg.RunConfig(ops={"load": given, "build": given})


@dg.job(config=parameters)
def empty_month() -> None:
    """Load a month, and build its models."""
    build(load())


defs = dg.Definitions(jobs=[empty_month])
