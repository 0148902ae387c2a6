"""A monthly flow in Prefect: the month is a parameter without a default, and part of the asset's key."""

from __future__ import annotations

from prefect import flow, task
from prefect.assets import materialize
from prefect.cache_policies import NO_CACHE
from prefect.events import DeploymentEventTrigger

TRIPS = "triptych://run_without_month/trips"


@materialize(TRIPS, cache_policy=NO_CACHE)
def monthly_trips(month: str) -> str:
    """Load a month; when this returns, Prefect emits an event of the asset."""
    return month


@flow(name="run_without_month_load")
def run_without_month_load(month: str) -> None:
    """Load a month, which is an asset of its own: Prefect has no partitions."""
    monthly_trips.with_options(assets=[f"{TRIPS}/{month}"])(month)


@task(cache_policy=NO_CACHE)
def monthly_mart(month: str) -> str:
    """Build the mart of the month that was loaded."""
    return month


@flow(name="run_without_month_build")
def run_without_month_build(month: str) -> None:
    """Build the mart of a month."""
    monthly_mart(month)


LOADED = DeploymentEventTrigger(
    expect={"prefect.asset.materialization.succeeded"},
    match={"prefect.resource.id": f"{TRIPS}/*"},
    parameters={"month": "{{ event.resource.id.split('/') | last }}"},
)

deployments = [
    run_without_month_load.to_deployment("triptych"),
    run_without_month_build.to_deployment("triptych", triggers=[LOADED]),
]
