"""The load: a file for each month that is loaded, and one that says that February has failed."""

from __future__ import annotations

from pathlib import Path

from core.settings import Settings, settings

FAILS = "2024-02"


def folder(at: Settings | None = None) -> Path:
    """Return where they are."""
    return (at or settings()).home / "retried_month"


def load(month: str) -> dict[str, str]:
    """Load a month; raise `OSError` when it is February and has not failed yet."""
    failed = folder() / "failed"
    if month == FAILS and not failed.exists():
        failed.touch()
        raise OSError("the connection was lost")
    (folder() / f"{month}.loaded").touch()
    return {"month": month}
