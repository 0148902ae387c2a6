"""The record of running services, in `services.json`: what the next command reads to use them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from core.lab.identity import Identity


@dataclass(frozen=True)
class Running:
    """Services that take work."""

    orchestrator: str
    version: str
    ports: dict[str, int]
    web: str | None
    processes: list[Identity]
    settings: str
    checkout: str
    """The folder of the code that they run."""
    scale: dict[str, int] = field(default_factory=dict)
    """How many processes of a service there are, where that is more than one."""

    @classmethod
    def read(cls, path: Path) -> Running | None:
        """Return what `path` records: see `dead` for what is no longer true. Return None when there is no such file.

        Also return None when it is torn, or of a version of Triptych that recorded other facts: services are then
        started again.
        """
        if not path.exists():
            return None
        try:
            facts = json.loads(path.read_text())
            return cls(**{**facts, "processes": [Identity(**each) for each in facts["processes"]]})
        except (ValueError, TypeError, KeyError):
            return None

    @property
    def dead(self) -> list[Identity]:
        """Those processes that have ended."""
        return [each for each in self.processes if not each.process()]
