"""The pipelines of the question: most of them do no work, and return the dates that they see."""

from __future__ import annotations

from core.lab.protocol import Parameter, Pipeline

PIPELINES = [
    Pipeline(name="monthly", tasks=["month_key"], main="month_key", month="optional"),
    Pipeline(name="by_interval", tasks=["interval_month"], main="interval_month", month="none"),
    Pipeline(name="clock", tasks=["tick"], main="tick", month="none"),
    Pipeline(name="spring", tasks=["tick"], main="tick", month="none"),
    Pipeline(name="autumn", tasks=["tick"], main="tick", month="none"),
    Pipeline(name="tokyo", tasks=["tokyo_month"], main="tokyo_month", month="none"),
    Pipeline(
        name="not_yet",
        tasks=["fetch_published"],
        main="fetch_published",
        parameters={"url": Parameter("Where the publisher's files are")},
    ),
    Pipeline(name="latest", tasks=["load_latest"], main="load_latest", month="none"),
]
