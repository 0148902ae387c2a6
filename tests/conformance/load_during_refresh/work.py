"""The tables: the number of each month's newest load, and a line for each refresh of its mart."""

from __future__ import annotations

from pathlib import Path

from core.settings import Settings, settings
from core.waiting import until

LIMIT_S = 300.0
"""How long a refresh is held when it is not told to go on: longer than the case waits."""


def folder(at: Settings | None = None) -> Path:
    """Return where they are."""
    return (at or settings()).home / "load_during_refresh"


def load(month: str) -> dict[str, str]:
    """Load a month once more."""
    path = folder() / f"{month}.loaded"
    path.write_text(str(int(path.read_text()) + 1 if path.exists() else 1))
    return {"month": month}


def refresh(month: str) -> dict[str, str]:
    """Read the month, work for as long as there is a file `MONTH.hold`, and write the mart."""
    seen = (folder() / f"{month}.loaded").read_text()
    (folder() / f"{month}.read").touch()
    hold = folder() / f"{month}.hold"
    until(lambda: not hold.exists() or None, LIMIT_S, 0.05, f"the end of {hold}")
    with (folder() / f"{month}.mart").open("a") as file:
        file.write(f"{seen}\n")
    return {"month": month}
