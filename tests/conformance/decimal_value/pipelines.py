"""One task sums a month's fares, and the next one books the sum."""

from decimal import Decimal

from core.lab.protocol import Pipeline

FARES = Decimal("90071992547409931.27")
"""19 digits: a float has 15 to 17."""

PIPELINES = [Pipeline(name="decimal_value", tasks=["sum_fares", "book"], main="book", month="none")]
