"""The tables: a file for each month that is published or loaded, and a line for each roll-up of a quarter."""

from __future__ import annotations

from pathlib import Path

from core.settings import Settings, settings


def folder(at: Settings | None = None) -> Path:
    """Return where they are."""
    return (at or settings()).home / "corrected_quarter"


def months_of(quarter: str) -> list[str]:
    """Return the months of a quarter, such as ``2024-Q1``."""
    year, _, number = quarter.partition("-Q")
    return [f"{year}-{3 * int(number) + offset:02}" for offset in (-2, -1, 0)]


def quarter_of(month: str) -> str:
    """Return the quarter of a month."""
    return f"{month[:4]}-Q{(int(month[5:7]) + 2) // 3}"


def load(month: str) -> dict[str, str]:
    """Load what is published of a month, in place of what was loaded before."""
    (folder() / f"{month}.loaded").write_text((folder() / f"{month}.published").read_text())
    return {"month": month}


def is_loaded(quarter: str) -> bool:
    """Return whether all months of a quarter are loaded."""
    return all((folder() / f"{month}.loaded").exists() for month in months_of(quarter))


def roll_up(quarter: str) -> dict[str, str]:
    """Sum the months of a quarter."""
    total = sum(int((folder() / f"{month}.loaded").read_text()) for month in months_of(quarter))
    with (folder() / "marts").open("a") as file:
        file.write(f"{quarter} {total}\n")
    return {"quarter": quarter}
