"""A load of a month, and the mart that is refreshed because of it."""

from core.lab.protocol import Pipeline

LOAD, REFRESH = "older_month_load", "older_month_refresh"

OLDER, NEWEST = "2024-01", "2024-06"
"""The months of the dataset begin and end with them."""

PIPELINES = [
    Pipeline(name=LOAD, tasks=["older_trips"], main="older_trips", month="required"),
    Pipeline(name=REFRESH, tasks=["older_mart"], main="older_mart", month="required"),
]
