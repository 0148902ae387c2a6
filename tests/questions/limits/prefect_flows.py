"""Limits in Prefect: a task waits for a slot of a global concurrency limit, in its process."""

from __future__ import annotations

from prefect import flow, task
from prefect.concurrency.sync import concurrency

from tests.questions.limits.pipelines import POOL
from tests.questions.limits.work import hold


@task
def begin() -> None:
    """Do nothing."""


@task
def transform(folder: str, name: str) -> None:
    """Take one slot of the limit."""
    # strict: without the limit on the server, fail rather than run unlimited.
    with concurrency(POOL, occupy=1, strict=True):
        hold(folder, name)


@task
def report() -> None:
    """Do nothing."""


@flow
def limited(folder: str, name: str) -> None:
    """Run a task that takes one slot of a limit."""
    begin()
    transform(folder, name)
    report()


deployments = [limited.to_deployment("triptych")]
