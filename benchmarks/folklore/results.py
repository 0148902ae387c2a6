"""Recorded results, as evidence reads them: the guide's answers, those of benchmarks and faults, and our own checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from core.settings import ROOT

GUIDE = ROOT / "docs" / "guide" / "data"


@cache
def _recorded(path: Path) -> Any:
    return json.loads(path.read_text())


class Results:
    """All recorded results. `checks` are the rows of ``folklore.json``."""

    def __init__(self, checks: Iterable[Row], read: Callable[[Path], Any] = _recorded) -> None:
        self._checks = {row["check"]: row for row in checks}
        self._read = read

    def check(self, name: str) -> Row:
        """Return what a check of ours found. Raise `LookupError` when it was not run."""
        if name not in self._checks:
            raise LookupError(f"the check {name!r} was not run: make bench-folklore")
        return self._checks[name]

    def answers(self, question: str, **key: Any) -> list[Row]:
        """Return the rows of a question of the guide whose columns have these values."""
        return _chosen(self._read(GUIDE / f"{question}.json"), key)

    def answer(self, question: str, **key: Any) -> Row:
        """Return the one such row. Raise `LookupError` when there is none, or more."""
        found = self.answers(question, **key)
        if len(found) != 1:
            raise LookupError(f"{question}.json has {len(found)} rows with {key}")
        return found[0]

    def rows(self, benchmark: str, **key: Any) -> list[Row]:
        """Return the rows of a benchmark's results whose columns have these values; raise `LookupError` without any."""
        found = _chosen(self._read(measure.RESULTS / f"{benchmark}.json")["rows"], key)
        if not found:
            raise LookupError(f"{benchmark}.json has no row with {key}")
        return found

    def soak(self) -> Row:
        """Return what the random kills did."""
        found: Row = self._read(measure.FAULT_RESULTS / "soak.json")
        return found

    def asked_s(self, question: str, orchestrator: str) -> float:
        """Return for how long a question was put to an orchestrator."""
        return float(self._read(GUIDE / "asked.json")[question][orchestrator]["seconds"])

    def median(self, benchmark: str, column: str, **key: Any) -> float:
        """Return the median of a column over such rows of a benchmark."""
        return measure.spread(float(row[column]) for row in self.rows(benchmark, **key)).median


def _chosen(rows: Iterable[Row], key: Mapping[str, Any]) -> list[Row]:
    return [row for row in rows if all(row.get(column) == value for column, value in key.items())]


def recorded() -> Results:
    """Return what is recorded in the repository."""
    return Results(measure.read("folklore", measure.RESULTS)["rows"])
