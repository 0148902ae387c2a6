"""Event-driven chaining in Prefect: an automation waits for the event of an asset, and starts a deployment."""

from __future__ import annotations

import datetime as dt
from typing import Any

from prefect import flow, runtime, task
from prefect.assets import materialize
from prefect.cache_policies import NO_CACHE
from prefect.events import DeploymentEventTrigger

from tests.questions.events import work
from tests.questions.events.pipelines import BATCH

RAW_TRIPS = "triptych://events/raw_trips"


@materialize(RAW_TRIPS, cache_policy=NO_CACHE)
def ingested_trips(month: str, **parameters: Any) -> dict[str, Any]:
    """Load the month; when this returns, Prefect emits an event of the asset."""
    return work.load("prefect", str(runtime.flow_run.id), month, **parameters)


@flow(name="ingest_taxi_data")
def ingest_taxi_data(month: str, source: str = "sample", force: bool = False, fail: str = "") -> None:
    """Load one month, which is an asset of its own: Prefect has no partitions, and a trigger sees the key alone."""
    ingested_trips.with_options(assets=[f"{RAW_TRIPS}/{month}"])(month, source=source, force=force, fail=fail)


@task(cache_policy=NO_CACHE)
def refreshed_trips(month: str) -> dict[str, Any]:
    """Bring the models up to date."""
    return work.build("prefect", str(runtime.flow_run.id), month)


@flow(name="refresh_fct_trips")
def refresh_fct_trips(month: str) -> None:
    """Build one month as soon as it is there."""
    refreshed_trips(month)


@task(cache_policy=NO_CACHE)
def refreshed_batch() -> dict[str, Any]:
    """Bring the models up to date."""
    return work.build("prefect", str(runtime.flow_run.id))


@flow(name="refresh_batch")
def refresh_batch() -> None:
    """Build once for seven months."""
    refreshed_batch()


LOADED = {"prefect.asset.materialization.succeeded"}

EACH = DeploymentEventTrigger(
    expect=LOADED,
    match={"prefect.resource.id": f"{RAW_TRIPS}/*"},
    parameters={"month": "{{ event.resource.id.split('/') | last }}"},
)
# Any seven events within the time, also if two of them are of one month.
SEVEN = DeploymentEventTrigger(
    expect=LOADED,
    match={"prefect.resource.id": f"{RAW_TRIPS}/2023-*"},
    threshold=len(BATCH),
    within=dt.timedelta(minutes=10),
)

deployments = [
    ingest_taxi_data.to_deployment("triptych"),
    refresh_fct_trips.to_deployment("triptych", triggers=[EACH]),
    refresh_batch.to_deployment("triptych", triggers=[SEVEN]),
]
