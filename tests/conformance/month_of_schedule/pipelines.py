"""A load of the month that has just ended, on the first of each month."""

from core.lab.protocol import Pipeline

PIPELINES = [Pipeline(name="month_of_schedule", tasks=["ended_month"], main="ended_month", month="optional")]
