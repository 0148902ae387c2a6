"""Where the results are that the page is made of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.summary.figures import Results
from core.settings import ROOT

GUIDE = "docs/guide/data"

FILES: Mapping[str, str] = {
    **{
        name: f"benchmarks/results/{name}.json"
        for name in (
            "backfill",
            "footprint",
            "floor",
            "chains",
            "load",
            "digest",
            "growth",
            "claims",
            "transform",
            "curves",
            "drills",
        )
    },
    **{name: f"tests/faults/results/{name}.json" for name in ("soak", "kill_points")},
    "conformance": "docs/conformance/results.json",
    "commands": f"{GUIDE}/commands.json",
    "asked": f"{GUIDE}/asked.json",
}
"""Every file of results by its name, by its path in the checkout. One that is missing leaves out its section."""

QUESTIONS = ("branch", "trigger_rules", "events", "dependencies", "values", "dates", "dynamic", "limits", "recovery")
"""The questions of the guide, in its order."""

CAPABILITIES = "docs/capabilities.md"
"""What `core.lab.capabilities` writes: who can do what, and why not."""

READMES: Mapping[str, str] = {name: f"{name}_impl/README.md" for name in ("airflow", "dagster", "prefect")}
"""The READMEs of the adapters, which declare how each orchestrator is configured."""

_CONFIGURED = re.compile(r"^\| configured \| here \|\n\|---\|---\|\n((?:\|.+\|\n)+)", re.MULTILINE)


@dataclass
class Data:
    """The results in the checkout, or those of a trial in another folder; read once, when they are asked for."""

    folder: Path | None = None
    root: Path = ROOT
    _read: dict[str, Results | None] = field(default_factory=dict)

    def get(self, name: str) -> Results | None:
        """Return the results `name`, of `FILES` or of `QUESTIONS`; None when they were not measured yet."""
        if name not in self._read:
            path = FILES.get(name, f"{GUIDE}/{name}.json")
            file = self.folder / Path(path).name if self.folder else self.root / path
            self._read[name] = Results(path, json.loads(file.read_text())) if file.exists() else None
        return self._read[name]

    def capabilities(self) -> str:
        """Return the text of the page on capabilities; empty when there is none."""
        path = self.root / CAPABILITIES
        return path.read_text() if path.exists() else ""

    def configured(self, tool: str) -> dict[str, str]:
        """Return how an orchestrator is configured here, part by part, as its adapter's README declares it."""
        path = self.root / READMES[tool]
        found = _CONFIGURED.search(path.read_text()) if path.exists() else None
        lines = found[1].splitlines() if found else []
        return dict(line.strip("| ").replace("`", "").split(" | ") for line in lines)

    def days(self) -> list[str]:
        """Return the days on which results were measured, and questions asked, the oldest first."""
        found = [results for name in FILES if (results := self.get(name))]
        times = [results.at(*keys)["measured_at"] for results in found for keys in results.runs()]
        asked = self.get("asked")
        answers = [each["at"] for every in asked.content.values() for each in every.values()] if asked else []
        return sorted(str(each)[:10] for each in [*times, *answers])
