"""A monthly load that is retried once; the first attempt of February fails."""

from core.lab.protocol import Pipeline

PIPELINES = [Pipeline(name="retried_month", tasks=["load_once_more"], main="load_once_more", month="required")]
