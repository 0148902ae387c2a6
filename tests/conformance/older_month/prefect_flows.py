"""A refresh in Prefect: a trigger starts a run of the deployment for each event of the asset."""

from __future__ import annotations

from prefect import flow, task
from prefect.assets import materialize
from prefect.cache_policies import NO_CACHE
from prefect.events import DeploymentEventTrigger

TRIPS = "triptych://older_month/trips"


@materialize(TRIPS, cache_policy=NO_CACHE)
def older_trips(month: str) -> str:
    """Load a month; when this returns, Prefect emits an event of the asset."""
    return month


@flow(name="older_month_load")
def older_month_load(month: str) -> None:
    """Load a month, which is an asset of its own: Prefect has no partitions."""
    older_trips.with_options(assets=[f"{TRIPS}/{month}"])(month)


@task(cache_policy=NO_CACHE)
def older_mart(month: str) -> str:
    """Refresh the mart of a month."""
    return month


@flow(name="older_month_refresh")
def older_month_refresh(month: str) -> None:
    """Refresh the mart of the month that was loaded."""
    older_mart(month)


LOADED = DeploymentEventTrigger(
    expect={"prefect.asset.materialization.succeeded"},
    match={"prefect.resource.id": f"{TRIPS}/*"},
    parameters={"month": "{{ event.resource.id.split('/') | last }}"},
)

deployments = [
    older_month_load.to_deployment("triptych"),
    older_month_refresh.to_deployment("triptych", triggers=[LOADED]),
]
