"""What the tasks do, and how the question tells them to: by files. Cheap to import, because DAG files import it."""

from __future__ import annotations

from pathlib import Path

from core.errors import PermanentError
from core.settings import Settings, settings
from core.waiting import until

LIMIT_S = 300.0
"""How long a month is held when nobody lets it go: longer than any question waits."""


def folder(at: Settings) -> Path:
    """Return the folder that the tasks share with the question: runs that an event starts have no parameter for it."""
    return at.home / "dependencies"


def publish(month: str) -> None:
    """Stand for the publication of a month: end, while there is ``2024-01.held`` wait, and with ``.broken`` fail."""
    here = folder(settings())
    until(lambda: None if (here / f"{month}.held").exists() else True, LIMIT_S, 0.1, f"the publication of {month}")
    if (here / f"{month}.broken").exists():
        raise PermanentError(f"{month} fails, as asked")


def build(pipeline: str, month: str) -> None:
    """Stand for the build of a month: write down that this pipeline has done it."""
    here = folder(settings())
    here.mkdir(exist_ok=True)
    with (here / f"{pipeline}.built").open("a") as file:
        file.write(f"{month}\n")
