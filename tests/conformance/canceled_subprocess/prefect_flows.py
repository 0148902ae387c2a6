"""A shell command in a task of Prefect."""

from __future__ import annotations

import subprocess
import sys

from prefect import flow, task

PROGRAM = f"{sys.executable} -m tests.conformance.canceled_subprocess.program"


@task
def build(name: str) -> None:
    """Run a program in a shell, and wait for its end."""
    subprocess.run(f"{PROGRAM} {name} && echo built", shell=True, check=True)


@flow(name="canceled_subprocess")
def canceled_subprocess(name: str) -> None:
    """Run a program."""
    build(name)


deployments = [canceled_subprocess.to_deployment("triptych")]
