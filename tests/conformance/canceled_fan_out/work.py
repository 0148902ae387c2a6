"""The load: a file for each month that has begun, and one for each that is loaded."""

from __future__ import annotations

from pathlib import Path

from core.waiting import until

MONTHS = ["2024-01", "2024-02", "2024-03"]

LIMIT_S = 300.0
"""How long a load waits when it is not told to go on: longer than the case waits."""


def load(folder: str, month: str) -> str:
    """Load a month, once there is the file `open`."""
    here = Path(folder)
    (here / f"{month}.began").touch()
    until(lambda: (here / "open").exists() or None, LIMIT_S, 0.05, f"the file {here / 'open'}")
    (here / f"{month}.loaded").touch()
    return month


def count(folder: str, months: list[str]) -> None:
    """Write down how many months there are to count."""
    (Path(folder) / "counted").write_text(str(len(months)))
