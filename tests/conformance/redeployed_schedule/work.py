"""The load: a line for each run, with the tick that it is for."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from core.settings import Settings, settings


def path(at: Settings | None = None) -> Path:
    """Return where the lines are."""
    return (at or settings()).home / "redeployed_schedule_ticks"


def load(tick: dt.datetime) -> None:
    """Write the tick of a run down."""
    with path().open("a") as file:
        file.write(f"{tick:%Y-%m-%dT%H:%M:%S}\n")


def ticks(at: Settings) -> list[dt.datetime]:
    """Return the tick of each run so far."""
    lines = path(at).read_text().split() if path(at).exists() else []
    return sorted(map(dt.datetime.fromisoformat, lines))
