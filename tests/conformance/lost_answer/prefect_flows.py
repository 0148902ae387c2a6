"""A run that starts another one in Prefect: a task asks for a run of the other deployment."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.deployments import run_deployment

from tests.conformance.lost_answer.pipelines import CHILD


@task(cache_policy=NO_CACHE)
def start_child() -> None:
    """Start a run of the other deployment."""
    run_deployment(f"{CHILD}/triptych", timeout=0)


@flow(name="lost_answer")
def lost_answer() -> None:
    """Start a run of the other deployment."""
    start_child()


@task
def work() -> None:
    """Do nothing."""


@flow(name="lost_answer_child")
def lost_answer_child() -> None:
    """Do nothing."""
    work()


deployments = [lost_answer.to_deployment("triptych"), lost_answer_child.to_deployment("triptych")]
