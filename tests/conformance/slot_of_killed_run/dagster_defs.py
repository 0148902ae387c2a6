"""A limit in Dagster: an op of a pool waits, inside its run, until a slot is free."""

import dagster as dg

from tests.conformance.slot_of_killed_run.pipelines import SLOT
from tests.questions.limits.work import hold


class Place(dg.Config):
    """Where the op says that it has begun."""

    folder: str
    name: str


@dg.op(pool=SLOT)
def hold_slot(config: Place) -> None:
    """Take one slot of the pool."""
    hold(config.folder, config.name)


@dg.config_mapping
def parameters(given: Place) -> dg.RunConfig:
    """Return the run config: the launchpad asks for the place only."""
    return dg.RunConfig(ops={"hold_slot": given})


@dg.job(config=parameters)
def slot_of_killed_run() -> None:
    """Run an op that takes one slot of a pool."""
    hold_slot()


defs = dg.Definitions(jobs=[slot_of_killed_run])
