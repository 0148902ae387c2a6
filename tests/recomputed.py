"""The figures of docs/report.html, computed again from the expressions beside them, with nothing that the page uses."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Content = Any


def _rows(content: Content, conditions: dict[str, Any]) -> list[dict[str, Any]]:
    rows = content["rows"] if isinstance(content, dict) else content
    return [row for row in rows if all(row.get(key) == value for key, value in conditions.items())]


def _values(content: Content, key: str, conditions: dict[str, Any]) -> list[float]:
    return [row[key] for row in _rows(content, conditions) if row.get(key) is not None]


def median(content: Content, key: str, **conditions: Any) -> float:
    return statistics.median(_values(content, key, conditions))


def low(content: Content, key: str, **conditions: Any) -> float:
    return min(_values(content, key, conditions))


def high(content: Content, key: str, **conditions: Any) -> float:
    return max(_values(content, key, conditions))


def count(content: Content, **conditions: Any) -> int:
    return len(_rows(content, conditions))


def middle(content: Content, by: str, key: str, **conditions: Any) -> float:
    wanted = statistics.median_low(_values(content, by, conditions))
    return next(float(row[key]) for row in _rows(content, conditions) if row[by] == wanted)


def value(content: Content, *keys: str | int) -> Any:
    for key in keys:
        content = content[key]
    return content


def agreed(content: Content, tool: str) -> int:
    return sum(row.get(tool) is not None and row[tool] == row["expected"] for row in content)


def checked(content: Content, tool: str) -> int:
    return sum(None not in (row.get(tool), row["expected"]) for row in content)


def built(content: Content, tool: str, how: str) -> int:
    return sum(row.get(tool) is not None and row["native"][tool] == how for row in content)


def printed(content: Content, name: str, pattern: str) -> int:
    (output,) = [row["output"] for row in content if row["name"] == name]
    return int(re.findall(pattern, output)[0].replace(",", ""))


def _outcomes(content: Content) -> Iterator[str]:
    return (outcome for row in content["rows"] for outcome in row["faults"].values())


def cases(content: Content) -> int:
    return sum(not outcome.startswith("not run") for outcome in _outcomes(content))


def wrongs(content: Content) -> int:
    return sum(not outcome.startswith("not run") and "; as golden" not in outcome for outcome in _outcomes(content))


FUNCTIONS: tuple[Callable[..., Any], ...] = (
    median, low, high, count, middle, value, agreed, checked, built, printed, cases, wrongs,
)  # fmt: skip


class Recomputed:
    """What expressions over the results in a checkout come to."""

    def __init__(self, root: Path) -> None:
        folders = ("docs/guide/data", "benchmarks/results", "tests/faults/results")
        found = {path.stem: json.loads(path.read_text()) for each in folders for path in (root / each).glob("*.json")}
        if (cases_asked := root / "docs/conformance/results.json").exists():
            found["conformance"] = json.loads(cases_asked.read_text())
        self._names = {**found, **{each.__name__: each for each in FUNCTIONS}, "__builtins__": {}}

    def __call__(self, expression: str) -> float:
        """Return the value of an expression."""
        return float(eval(expression, dict(self._names)))

    def wrong(self, shown: str, exact: str, expression: str) -> str | None:
        """Return what is wrong with a figure, if anything: the exact one that it carries, or the rounded one shown."""
        found = self(expression)
        if abs(float(exact) - found) > 1e-9 * max(1.0, abs(found)):
            return f"{expression} is {found}, not {exact}"
        digits = len(shown.partition(".")[2])
        # A binary fraction may lie on either side of a half.
        if abs(float(shown.replace(",", "")) - found) > 0.5000001 * 10.0**-digits:
            return f"{expression} is {found}, not {shown}"
        return None
