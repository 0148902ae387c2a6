"""A refresh in Prefect: a trigger starts a run of the deployment for each event, and one run at a time."""

from __future__ import annotations

from prefect import flow, task
from prefect.assets import materialize
from prefect.cache_policies import NO_CACHE
from prefect.events import DeploymentEventTrigger

from tests.conformance.load_during_refresh import work

TRIPS = "triptych://load_during_refresh/trips"


@materialize(TRIPS, cache_policy=NO_CACHE)
def moving_trips(month: str) -> None:
    """Load a month; when this returns, Prefect emits an event of the asset."""
    work.load(month)


@flow(name="load_during_refresh_load")
def load_during_refresh_load(month: str) -> None:
    """Load a month, which is an asset of its own: Prefect has no partitions."""
    moving_trips.with_options(assets=[f"{TRIPS}/{month}"])(month)


@task(cache_policy=NO_CACHE)
def moving_mart(month: str) -> None:
    """Refresh the mart of a month."""
    work.refresh(month)


@flow(name="load_during_refresh_mart")
def load_during_refresh_mart(month: str) -> None:
    """Refresh the mart of the month that was loaded."""
    moving_mart(month)


LOADED = DeploymentEventTrigger(
    expect={"prefect.asset.materialization.succeeded"},
    match={"prefect.resource.id": f"{TRIPS}/*"},
    parameters={"month": "{{ event.resource.id.split('/') | last }}"},
)

deployments = [
    load_during_refresh_load.to_deployment("triptych"),
    load_during_refresh_mart.to_deployment("triptych", triggers=[LOADED], concurrency_limit=1),
]
