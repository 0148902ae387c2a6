"""A limit in Prefect: a task waits, in its process, for a slot of a global concurrency limit, and leases it."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.sync import concurrency

from tests.conformance.slot_before_end.pipelines import SLOT
from tests.conformance.slot_before_end.work import work


@task(cache_policy=NO_CACHE)
def work_in_slot(folder: str, name: str) -> None:
    """Take one slot of the limit."""
    with concurrency(SLOT, occupy=1, strict=True):
        work(folder, name)


@flow(name="slot_before_end")
def slot_before_end(folder: str, name: str) -> None:
    """Run a task that takes one slot of a limit."""
    work_in_slot(folder, name)


deployments = [slot_before_end.to_deployment("triptych")]
