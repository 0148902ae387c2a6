"""One run that loads three months, one at a time, and then counts them."""

from core.lab.protocol import Parameter, Pipeline

PIPELINES = [
    Pipeline(
        name="canceled_fan_out",
        tasks=["fan_months", "fan_load", "fan_count"],
        main="fan_count",
        month="none",
        parameters={"folder": Parameter("Where the months are, and where each load waits for the file `open`")},
    )
]
