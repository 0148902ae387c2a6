"""A load of a month, and the mart that is built because of it."""

from core.lab.protocol import Pipeline

LOAD, BUILD = "burst_of_events_load", "burst_of_events_build"

PIPELINES = [
    Pipeline(name=LOAD, tasks=["burst_trips"], main="burst_trips", month="optional"),
    Pipeline(name=BUILD, tasks=["burst_mart"], main="burst_mart", month="optional"),
]
