"""Events in Prefect: a trigger starts a run of the deployment for each event, with the month from its resource."""

from __future__ import annotations

from prefect import flow, task
from prefect.assets import materialize
from prefect.cache_policies import NO_CACHE
from prefect.events import DeploymentEventTrigger

TRIPS = "triptych://burst_of_events/trips"


@materialize(TRIPS, cache_policy=NO_CACHE)
def burst_trips(month: str) -> str:
    """Load a month; when this returns, Prefect emits an event of the asset."""
    return month


@flow(name="burst_of_events_load")
def burst_of_events_load(month: str) -> None:
    """Load a month, which is an asset of its own."""
    burst_trips.with_options(assets=[f"{TRIPS}/{month}"])(month)


@task(cache_policy=NO_CACHE)
def burst_mart(month: str) -> str:
    """Build the mart of a month."""
    return month


@flow(name="burst_of_events_build")
def burst_of_events_build(month: str) -> None:
    """Build the mart of the month that was loaded."""
    burst_mart(month)


LOADED = DeploymentEventTrigger(
    expect={"prefect.asset.materialization.succeeded"},
    match={"prefect.resource.id": f"{TRIPS}/*"},
    parameters={"month": "{{ event.resource.id.split('/') | last }}"},
)

deployments = [
    burst_of_events_load.to_deployment("triptych"),
    burst_of_events_build.to_deployment("triptych", triggers=[LOADED]),
]
