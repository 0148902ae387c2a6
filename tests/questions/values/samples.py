"""The value of each kind, and what has become of one on its way."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from core.run import Receipt


@dataclass(frozen=True)
class Point:
    """A dataclass that only this project knows."""

    x: int
    y: int


def _frame() -> Any:
    import pandas

    return pandas.DataFrame({"rows": [1, 2], "month": ["2024-01", "2024-02"]})


def _table() -> Any:
    import pyarrow

    return pyarrow.table({"rows": [1, 2], "month": ["2024-01", "2024-02"]})


SAMPLES: Mapping[str, Callable[[], Any]] = {
    "no text": lambda: "",
    "bytes": lambda: b"\x00\xff",
    "no bytes": lambda: b"",
    "int keys": lambda: {1: "one"},
    "set": lambda: {"a", "b"},
    "tuple": lambda: ("a", 1),
    "decimal": lambda: Decimal("12345678901234567890.10"),
    "nan": lambda: math.nan,
    "datetime with zone": lambda: dt.datetime(2024, 3, 10, 1, 30, tzinfo=ZoneInfo("America/New_York")),
    "path": lambda: PurePosixPath("/data/2024-01.parquet"),
    "dataclass": lambda: Point(1, 2),
    "receipt": lambda: Receipt("ingest_month", "success", "2024-01", rows=2).to_json(),
    "DataFrame": _frame,
    "Arrow table": _table,
}


def sample(kind: str, size: int) -> Any:
    """Return the value of a kind; a text of `size` characters, which no compression makes much shorter."""
    return random.Random(size).randbytes(size // 2 + 1).hex()[:size] if kind == "text" else SAMPLES[kind]()


def verdict(kind: str, size: int, arrived: Any) -> str:
    """Return ``same``, or how the value that arrived differs from the one that was sent."""
    sent = sample(kind, size)
    if type(arrived) is not type(sent):
        return f"arrives as {type(arrived).__name__}"
    return "same" if _equal(sent, arrived) else f"arrives as {arrived!r:.60}"


def _equal(sent: Any, arrived: Any) -> bool:
    if isinstance(sent, dt.datetime):
        # The same instant in another zone is equal to `==`.
        return bool(sent == arrived and str(sent.tzinfo) == str(arrived.tzinfo))
    if isinstance(sent, float):
        return math.isnan(sent) and math.isnan(arrived)
    return bool(sent.equals(arrived) if hasattr(sent, "equals") else sent == arrived)
