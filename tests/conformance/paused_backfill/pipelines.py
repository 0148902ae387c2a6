"""A monthly load whose schedule is off from the start."""

from core.lab.protocol import Pipeline

PIPELINES = [Pipeline(name="paused_backfill", tasks=["load_month"], main="load_month", month="required")]
