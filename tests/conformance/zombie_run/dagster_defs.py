"""A lost run in Dagster: with run monitoring, the daemon asks the run launcher whether a run's process lives."""

import dagster as dg

from tests.questions.limits.work import hold


class Place(dg.Config):
    """Where the op says that it has begun."""

    folder: str
    name: str


@dg.op
def work_on(config: Place) -> None:
    """Take some time."""
    hold(config.folder, config.name)


@dg.config_mapping
def parameters(given: Place) -> dg.RunConfig:
    """Return the run config: the launchpad asks for the place only."""
    return dg.RunConfig(ops={"work_on": given})


# The lab retries a run that has lost its process.
@dg.job(config=parameters, tags={"dagster/max_retries": "0"})
def zombie_run() -> None:
    """Run an op that takes its time."""
    work_on()


defs = dg.Definitions(jobs=[zombie_run])
