"""A limit and a retry in Dagster: an op waits for a slot of a pool, and its policy says when it is tried again."""

import dagster as dg

from tests.conformance.slot_in_retry.pipelines import SLOT
from tests.conformance.slot_in_retry.work import attempt


class Place(dg.Config):
    """Where the op writes down that it has the slot."""

    folder: str
    name: str


@dg.op(pool=SLOT, retry_policy=dg.RetryPolicy(max_retries=1, delay=30))
def take_slot(config: Place) -> None:
    """Take one slot of the pool."""
    attempt(config.folder, config.name)


@dg.config_mapping
def parameters(given: Place) -> dg.RunConfig:
    """Return the run config: the launchpad asks for the place only."""
    return dg.RunConfig(ops={"take_slot": given})


@dg.job(config=parameters)
def slot_in_retry() -> None:
    """Run an op that takes one slot of a pool, and is tried twice."""
    take_slot()


defs = dg.Definitions(jobs=[slot_in_retry])
