"""A limit and a retry in Prefect: a deployment has a limit, and its flow says after how long it is tried again."""

from __future__ import annotations

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from tests.conformance.slot_in_retry.work import attempt


@task(cache_policy=NO_CACHE)
def take_slot(folder: str, name: str) -> None:
    """Say that the run has the slot."""
    attempt(folder, name)


# A run's lease of its slot is for 300 s, and renewed every 225 s: this is longer.
@flow(name="slot_in_retry", retries=1, retry_delay_seconds=240)
def slot_in_retry(folder: str, name: str) -> None:
    """Work while the run has the slot."""
    take_slot(folder, name)


deployments = [slot_in_retry.to_deployment("triptych", concurrency_limit=1)]
