"""The range as one run of assets, which Dagster alone has. A backfill of either mode needs no pipeline of its own."""

from __future__ import annotations

from core.lab.protocol import TAXI_PIPELINE, Pipeline

SINGLE_RUN = "single_run"

PIPELINES = [
    Pipeline(
        SINGLE_RUN, ["range_trips", "range_models"], main="range_trips", month="required",
        parameters=TAXI_PIPELINE.parameters,
    )
]  # fmt: skip
