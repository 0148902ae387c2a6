"""A fan-out in Dagster: an op is mapped over a dynamic output, one step at a time, and its results are collected."""

from collections.abc import Iterator

import dagster as dg

from tests.conformance.canceled_fan_out import work


class Place(dg.Config):
    """Where the months are."""

    folder: str


@dg.op(out=dg.DynamicOut(str))
def fan_months() -> Iterator[dg.DynamicOutput[str]]:
    """Return the months."""
    for month in work.MONTHS:
        yield dg.DynamicOutput(month, mapping_key=month.replace("-", "_"))


@dg.op
def fan_load(config: Place, month: str) -> str:
    """Load a month."""
    return work.load(config.folder, month)


@dg.op
def fan_count(config: Place, months: list[str]) -> None:
    """Count the months."""
    work.count(config.folder, months)


@dg.config_mapping
def parameters(given: Place) -> dg.RunConfig:
    """Return the run config: the launchpad asks for the place only."""
    return dg.RunConfig(ops={"fan_load": given, "fan_count": given})


@dg.job(config=parameters, executor_def=dg.in_process_executor)
def canceled_fan_out() -> None:
    """Load each month of a list, and count them."""
    fan_count(fan_months().map(fan_load).collect())


defs = dg.Definitions(jobs=[canceled_fan_out])
