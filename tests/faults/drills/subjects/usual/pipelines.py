"""The usual pattern, for whoever starts it."""

from __future__ import annotations

from core.lab.protocol import Parameter, Pipeline

USUAL_MONTH = Pipeline(
    "usual_month",
    ["delete", "append"],
    main="append",
    parameters={"source": Parameter("The folder of the files"), "schema": Parameter("The schema of the table")},
)

PIPELINES = [USUAL_MONTH]
