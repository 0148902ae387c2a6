"""What the task does while it holds a slot: it stands for a transform that takes its time."""

from __future__ import annotations

from pathlib import Path

from core.waiting import until

LIMIT_S = 300.0
"""How long it holds its slot when it is not told to end: longer than any question waits."""


def hold(folder: str, name: str) -> None:
    """Say that `name` has begun, wait for the file `open`, and say that it has ended."""
    here = Path(folder)
    (here / f"{name}.began").touch()
    until(lambda: (here / "open").exists() or None, LIMIT_S, 0.05, f"the file {here / 'open'}")
    (here / f"{name}.ended").touch()
