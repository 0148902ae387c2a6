"""A monthly load, and the mart that is built of each month because of it."""

from core.lab.protocol import Pipeline

LOAD, BUILD = "run_without_month_load", "run_without_month_build"

PIPELINES = [
    Pipeline(name=LOAD, tasks=["monthly_trips"], main="monthly_trips", month="optional"),
    Pipeline(name=BUILD, tasks=["monthly_mart"], main="monthly_mart", month="optional"),
]
