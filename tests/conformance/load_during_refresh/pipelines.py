"""A load of a month, and the mart that is refreshed because of it."""

from core.lab.protocol import Pipeline

LOAD, REFRESH = "load_during_refresh_load", "load_during_refresh_mart"

PIPELINES = [
    Pipeline(name=LOAD, tasks=["moving_trips"], main="moving_trips", month="required"),
    Pipeline(name=REFRESH, tasks=["moving_mart"], main="moving_mart", month="required"),
]
