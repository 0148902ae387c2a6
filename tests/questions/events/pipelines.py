"""The pipelines of the question: one ingests a month, and the event of that starts the two that refresh."""

from __future__ import annotations

from core.lab.protocol import Parameter, Pipeline

BATCH = tuple(f"2023-{month:02}" for month in range(6, 13))
"""Seven months that `refresh_batch` waits for, to refresh once for all of them."""

FAILURES = ("", "before the commit", "after the commit")
"""Where an ingest fails: nowhere, with nothing published, or with its month published and no event."""

PIPELINES = [
    Pipeline(
        name="ingest_taxi_data",
        tasks=["ingested_trips"],
        main="ingested_trips",
        month="required",
        parameters={
            "source": Parameter("Where the month's file is", default="sample"),
            "force": Parameter("Load the file again even when the same bytes are loaded", default=False),
            "fail": Parameter("Where the ingest fails", default="", choices=list(FAILURES)),
        },
    ),
    Pipeline(name="refresh_fct_trips", tasks=["refreshed_trips"], main="refreshed_trips", month="required"),
    Pipeline(name="refresh_batch", tasks=["refreshed_batch"], main="refreshed_batch", month="none"),
]
