"""A limit in Prefect: a task waits, in its process, for a slot of a global concurrency limit, and leases it."""

from __future__ import annotations

from prefect import flow, task
from prefect.concurrency.sync import concurrency

from tests.conformance.slot_of_killed_run.pipelines import SLOT
from tests.questions.limits.work import hold


@task
def hold_slot(folder: str, name: str) -> None:
    """Take one slot of the limit."""
    # The lease is renewed while the task works. The default is 300 s, and the server takes no less than 60.
    with concurrency(SLOT, occupy=1, strict=True, lease_duration=60):
        hold(folder, name)


@flow(name="slot_of_killed_run")
def slot_of_killed_run(folder: str, name: str) -> None:
    """Run a task that takes one slot of a limit."""
    hold_slot(folder, name)


deployments = [slot_of_killed_run.to_deployment("triptych")]
