"""Limits in Dagster: a step of a pool waits, inside its run, until a slot is free."""

import dagster as dg

from tests.questions.limits.pipelines import POOL
from tests.questions.limits.work import hold


class Place(dg.Config):
    """Where the transform says that it has begun."""

    folder: str
    name: str


@dg.op
def begin() -> None:
    """Do nothing."""


@dg.op(pool=POOL, ins={"start": dg.In(dg.Nothing)})
def transform(config: Place) -> None:
    """Take one slot of the pool."""
    hold(config.folder, config.name)


@dg.op(ins={"start": dg.In(dg.Nothing)})
def report() -> None:
    """Do nothing."""


@dg.config_mapping
def parameters(given: Place) -> dg.RunConfig:
    """Return the run config: the launchpad asks for the place only."""
    return dg.RunConfig(ops={"transform": given})


@dg.job(config=parameters)
def limited() -> None:
    """Run a step that takes one slot of a pool."""
    report(transform(begin()))


defs = dg.Definitions(jobs=[limited])
