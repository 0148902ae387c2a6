"""The results: a list of cells as JSON, an object for each case and orchestrator, and the log of each beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.lab.protocol import write_json
from core.settings import ROOT

PUBLISHED = ROOT / "docs" / "conformance" / "results.json"
"""The results that the page shows; `make conformance` writes them."""


@dataclass(frozen=True)
class Cell:
    """What was observed of one orchestrator in one case."""

    case: str
    tool: str
    version: str
    settings: Mapping[str, str]
    """The settings that the lab changes, with the values that they had."""
    verdict: str
    k: int
    """How often the right answer was observed, of `n` times."""
    n: int
    observed: list[Mapping[str, Any]]
    seconds: float
    """How long all `n` times took, without the start of the services."""
    at: str
    """When it was asked, in UTC."""
    code: str
    """The fingerprint of the code that ran (`Case.fingerprint`)."""

    @property
    def key(self) -> tuple[str, str]:
        """What no other cell of the results has."""
        return self.case, self.tool

    @property
    def words(self) -> str:
        """The verdict, and how often, where it was asked several times."""
        return f"{self.verdict}, {self.k} of {self.n}" if self.n > 1 else self.verdict


Cells = dict[tuple[str, str], Cell]


def read(path: Path) -> Cells:
    """Return the cells of a file; none when there is no file. Raise `UsageError` when it is no file of cells."""
    if not path.exists():
        return {}
    try:
        found = [Cell(**each) for each in json.loads(path.read_text())]
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no file of `triptych conformance --json`: {error}") from error
    return {each.key: each for each in found}


def write(path: Path, cells: Iterable[Cell]) -> None:
    """Write cells to a file, sorted by case and orchestrator, so that git shows what changed."""
    write_json(path, as_json(cells))


def as_json(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Return cells as JSON, in the order of `write`."""
    return [asdict(each) for each in sorted(cells, key=lambda each: each.key)]


def log_of(path: Path, case: str, tool: str) -> Path:
    """Return where the log of a cell is: beside the results in the file `path`."""
    return path.parent / "logs" / f"{case}.{tool}.txt"


def is_recorded(cell: Cell, like: Mapping[str, Any]) -> bool:
    """Return whether a cell was asked of this version, with these settings and this code, so often."""
    return all(getattr(cell, name) == value for name, value in like.items())
