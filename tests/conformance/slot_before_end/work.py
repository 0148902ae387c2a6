"""The load: as long as it works, it writes down when it did so last."""

from __future__ import annotations

import time
from pathlib import Path

from core.waiting import until

LIMIT_S = 300.0
"""How long a load works when nobody ends it: longer than the case waits."""


def work(folder: str, name: str) -> None:
    """Work, and write down since when and until when, until there is the file `open`."""
    here = Path(folder)
    (here / f"{name}.since").write_text(str(time.time()))

    def step() -> bool | None:
        (here / f"{name}.until").write_text(str(time.time()))
        return (here / "open").exists() or None

    until(step, LIMIT_S, 0.05, f"the file {here / 'open'}")
