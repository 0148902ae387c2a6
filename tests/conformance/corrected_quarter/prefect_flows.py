"""A roll-up in Prefect: a trigger starts a run for each month, and the flow looks whether its quarter is whole."""

from __future__ import annotations

from prefect import flow, task
from prefect.assets import materialize
from prefect.cache_policies import NO_CACHE
from prefect.events import DeploymentEventTrigger

from tests.conformance.corrected_quarter import work

TRIPS = "triptych://corrected_quarter/trips"


@materialize(TRIPS, cache_policy=NO_CACHE)
def quarter_trips(month: str) -> None:
    """Load a month; when this returns, Prefect emits an event of the asset."""
    work.load(month)


@flow(name="corrected_quarter_load")
def corrected_quarter_load(month: str) -> None:
    """Load a month, which is an asset of its own: Prefect has no partitions."""
    quarter_trips.with_options(assets=[f"{TRIPS}/{month}"])(month)


@task(cache_policy=NO_CACHE)
def quarter_mart(quarter: str) -> None:
    """Sum the months of a quarter."""
    work.roll_up(quarter)


@flow(name="corrected_quarter_roll_up")
def corrected_quarter_roll_up(month: str) -> None:
    """Sum the quarter of a month, once all of its months are there."""
    quarter = work.quarter_of(month)
    if work.is_loaded(quarter):
        quarter_mart(quarter)


LOADED = DeploymentEventTrigger(
    expect={"prefect.asset.materialization.succeeded"},
    match={"prefect.resource.id": f"{TRIPS}/*"},
    parameters={"month": "{{ event.resource.id.split('/') | last }}"},
)

deployments = [
    corrected_quarter_load.to_deployment("triptych"),
    corrected_quarter_roll_up.to_deployment("triptych", triggers=[LOADED]),
]
