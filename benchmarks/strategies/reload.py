"""What `benchmarks.strategies.growth` times, in a process of its own that imports no more than a loader does."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core import load
from core.datasets import GREEN
from core.extract import Extracted
from core.month import Month

SCHEMA = "growth"
RELOADED = Month(2020, 3)
"""The month that is reloaded: neither the first nor the last."""


def reload(file: str, strategy: str) -> Callable[[], dict[str, Any]]:
    """Load `file` as the month: from a file that was fetched to a month that is published."""
    job = order(file, RELOADED, strategy)

    def timed() -> dict[str, Any]:
        began = time.monotonic()  # one clock for all processes
        digest = load.load(job).entry.content_digest
        return {"began": began, "ended": time.monotonic(), "digest": digest}

    return timed


def order(file: str, month: Month, strategy: str) -> load.Load:
    """A forced attempt, begun now."""
    path = Path(file)
    with path.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    extracted = Extracted(path, path.name, sha256, path.stat().st_size)
    return load.Load(
        SCHEMA, GREEN, month, extracted, strategy, "benchmark", "", fence=load.begin(SCHEMA), force=True, accept_suspect=True
    )  # fmt: skip
