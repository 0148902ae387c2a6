"""The load that `benchmarks.strategies.growth` times, in a process that imports no more than a loader does."""

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
"""The month that is reloaded, which is neither the first nor the last."""


def reload(file: str, strategy: str) -> Callable[[], dict[str, Any]]:
    """Return the load of `file` as that month: from a fetched file to a published month."""
    ordered = order(file, RELOADED, strategy)

    def timed() -> dict[str, Any]:
        # One clock for all processes.
        began = time.monotonic()
        digest = load.load(ordered).entry.content_digest
        return {"began": began, "ended": time.monotonic(), "digest": digest}

    return timed


def order(file: str, month: Month, strategy: str) -> load.Load:
    """Return a forced load, whose fencing token is drawn now."""
    path = Path(file)
    with path.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    extracted = Extracted(path, path.name, sha256, path.stat().st_size)
    return load.Load(
        SCHEMA,
        GREEN,
        month,
        extracted,
        strategy,
        "benchmark",
        "",
        fence=load.begin(SCHEMA),
        force=True,
        accept_suspect=True,
    )
