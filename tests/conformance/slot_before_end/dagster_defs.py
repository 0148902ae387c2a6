"""A limit in Dagster: an op of a pool waits, inside its run, until a slot is free."""

import dagster as dg

from tests.conformance.slot_before_end.pipelines import SLOT
from tests.conformance.slot_before_end.work import work


class Place(dg.Config):
    """Where the op says that it works."""

    folder: str
    name: str


@dg.op(pool=SLOT)
def work_in_slot(config: Place) -> None:
    """Take one slot of the pool."""
    work(config.folder, config.name)


@dg.config_mapping
def parameters(given: Place) -> dg.RunConfig:
    """Return the run config: the launchpad asks for the place only."""
    return dg.RunConfig(ops={"work_in_slot": given})


@dg.job(config=parameters)
def slot_before_end() -> None:
    """Run an op that takes one slot of a pool."""
    work_in_slot()


defs = dg.Definitions(jobs=[slot_before_end])
