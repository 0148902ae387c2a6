"""The load: a line for each attempt that has the slot. The first attempt of the first run fails."""

from __future__ import annotations

from pathlib import Path

FIRST, NEXT = "first", "next"


def attempts(folder: str | Path) -> list[str]:
    """Return which run each attempt so far was of, in the order in which they had the slot."""
    path = Path(folder, "attempts")
    return path.read_text().split() if path.exists() else []


def attempt(folder: str, name: str) -> None:
    """Write an attempt down; raise `OSError` when it is the first one of the first run."""
    has_failed = FIRST in attempts(folder)
    with Path(folder, "attempts").open("a") as file:
        file.write(f"{name}\n")
    if name == FIRST and not has_failed:
        raise OSError("the connection was lost")
