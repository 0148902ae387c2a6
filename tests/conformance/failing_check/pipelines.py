"""A load with a data test behind it, and the mart that is rebuilt because of it."""

from core.lab.protocol import Pipeline

LOAD, BUILD = "failing_check_load", "failing_check_build"

BAD = "2024-02"
"""The month whose data test fails."""

PIPELINES = [
    Pipeline(name=LOAD, tasks=["checked_staging", "check_rows"], main="checked_staging", month="required"),
    Pipeline(name=BUILD, tasks=["checked_mart"], main="checked_mart", month="required"),
]
