"""A task in Prefect that reports a constant."""

from __future__ import annotations

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from benchmarks.orchestrators.shapes import EDITED

VALUE = "as written"


@task
def step() -> None:
    """Report the constant."""
    create_markdown_artifact(VALUE)


@flow(name=EDITED.name, persist_result=False)
def edited() -> None:
    """Run the task."""
    step()


deployments = [edited.to_deployment("triptych")]
