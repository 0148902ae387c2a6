"""A shell command in an op of Dagster."""

import subprocess
import sys

import dagster as dg

PROGRAM = f"{sys.executable} -m tests.conformance.canceled_subprocess.program"


class Named(dg.Config):
    """The config of the op."""

    name: str = ""


@dg.op
def build(config: Named) -> None:
    """Run a program in a shell, and wait for its end."""
    subprocess.run(f"{PROGRAM} {config.name} && echo built", shell=True, check=True)


@dg.config_mapping
def parameters(given: Named) -> dg.RunConfig:
    """Return the run config: the launchpad asks for the name only."""
    return dg.RunConfig(ops={"build": given})


@dg.job(config=parameters)
def canceled_subprocess() -> None:
    """Run a program."""
    build()


defs = dg.Definitions(jobs=[canceled_subprocess])
