"""Events in Airflow: an asset's event says the month, and a run of the consumer may be because of several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.sdk import Asset, Metadata, dag, task

TRIPS = Asset("burst_of_events_trips", uri="x-triptych://burst_of_events/trips")


@dag(schedule=None, params={"month": ""})
def burst_of_events_load() -> None:
    """Load a month, and say so in the event."""

    @task(outlets=[TRIPS])
    def burst_trips(params: dict[str, Any]) -> Iterator[Metadata]:
        yield Metadata(TRIPS, {"month": params["month"]})

    burst_trips()  # type: ignore[call-arg]


@dag(schedule=[TRIPS])
def burst_of_events_build() -> None:
    """Build the mart of every month that an event names."""

    @task(multiple_outputs=False)
    def burst_mart(triggering_asset_events: Any) -> dict[str, Any]:
        return {"months": [event.extra["month"] for event in triggering_asset_events[TRIPS]]}

    burst_mart()  # type: ignore[call-arg]


burst_of_events_load()
burst_of_events_build()
