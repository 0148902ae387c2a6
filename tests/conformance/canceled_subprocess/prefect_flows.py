"""A program in a task of Prefect."""

from __future__ import annotations

import subprocess
import sys

from prefect import flow, task

PROGRAM = [sys.executable, "-m", "tests.conformance.canceled_subprocess.program"]


@task
def build(name: str) -> None:
    """Run a program, and wait for its end."""
    subprocess.run([*PROGRAM, name], check=True)


@flow(name="canceled_subprocess")
def canceled_subprocess(name: str) -> None:
    """Run a program."""
    build(name)


deployments = [canceled_subprocess.to_deployment("triptych")]
