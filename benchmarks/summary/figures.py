"""Figures that know where they come from: a number, and the expression over the results that it is.

    results = Results("benchmarks/results/backfill.json", content)
    airflow = results.of(orchestrator="airflow", turn="load")
    airflow.median("wall_s") / results.value("rows_a_month")

Such an expression is Python, and stands beside each figure of the page. ``median(backfill, KEY, CONDITION=...)`` and
its kin are functions of the file of that name; the docstring of the method of the same name says what each returns. A
test computes every figure of the page again from the expression beside it, with functions of its own.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from benchmarks.harness.markdown import number
from benchmarks.harness.measure import Row


@dataclass(frozen=True)
class Figure:
    """A number, and the expression that it is the value of."""

    value: float
    source: str
    whole: bool = False
    """Whether it counts something, and is shown with all its digits."""

    @property
    def text(self) -> str:
        """What a reader sees."""
        return f"{self.value:,.0f}" if self.whole or self.value == 0 else number(self.value)

    @property
    def precise(self) -> str:
        """The same with three significant digits, also below 1."""
        digits = 2 - math.floor(math.log10(abs(self.value))) if self.value else 0
        return self.text if self.whole else f"{self.value:,.{max(digits, 0)}f}"

    def __add__(self, other: Figure) -> Figure:
        return Figure(self.value + other.value, f"({self.source} + {other.source})", self.whole and other.whole)

    def __sub__(self, other: Figure) -> Figure:
        return Figure(self.value - other.value, f"({self.source} - {other.source})", self.whole and other.whole)

    def __mul__(self, factor: float) -> Figure:
        return Figure(self.value * factor, f"{self.source} * {factor}")

    def __truediv__(self, other: Figure | float) -> Figure:
        value, source = (other.value, other.source) if isinstance(other, Figure) else (other, str(other))
        return Figure(self.value / value, f"{self.source} / {source}")


@dataclass(frozen=True)
class Range:
    """The median of some rounds, the smallest and the largest."""

    median: Figure
    low: Figure
    high: Figure
    rounds: int | None = None
    """How many rounds they are of; of a single one there is no range to show."""

    def __mul__(self, factor: float) -> Range:
        return replace(self, median=self.median * factor, low=self.low * factor, high=self.high * factor)

    def __truediv__(self, other: Figure | float) -> Range:
        return replace(self, median=self.median / other, low=self.low / other, high=self.high / other)


@dataclass(frozen=True)
class Selection:
    """Some rows of a file: those that meet the conditions."""

    name: str
    rows: Sequence[Row]
    conditions: Mapping[str, Any]

    def __bool__(self) -> bool:
        return bool(self.rows)

    def median(self, key: str) -> Figure:
        """The median of a value, over the rows that have it."""
        return self._figure("median", statistics.median, key)

    def low(self, key: str) -> Figure:
        """The smallest value."""
        return self._figure("low", min, key)

    def high(self, key: str) -> Figure:
        """The largest value."""
        return self._figure("high", max, key)

    def count(self) -> Figure:
        """The number of rows."""
        return Figure(len(self.rows), f"count({self._words()})", whole=True)

    def middle(self, by: str, key: str) -> Figure:
        """The value `key` of the row in the middle, when rows are in the order of `by`.

        Parts of one row add up to its whole, which medians of the parts do not.
        """
        return Figure(float(self.middle_row(by)[key]), f"middle({self._words(by, key)})")

    def middle_row(self, by: str) -> Row:
        """Return the row in the middle: of an even number, the smaller of the two, and of equal ones, the first."""
        wanted = statistics.median_low(float(row[by]) for row in self.rows)
        return next(row for row in self.rows if float(row[by]) == wanted)

    def range(self, key: str) -> Range:
        """Return median, smallest and largest."""
        return Range(self.median(key), self.low(key), self.high(key), len(self._values(key)))

    def _figure(self, name: str, function: Callable[[list[float]], float], key: str) -> Figure:
        return Figure(function(self._values(key)), f"{name}({self._words(key)})")

    def _values(self, key: str) -> list[float]:
        return [row[key] for row in self.rows if row.get(key) is not None]

    def _words(self, *keys: str) -> str:
        given = [f"{key}={value!r}" for key, value in self.conditions.items()]
        return ", ".join([self.name, *map(repr, keys), *given])


@dataclass(frozen=True)
class Results:
    """The content of a file of results: an object with `rows`, or a list of rows."""

    path: str
    """The path in the checkout."""
    content: Any

    @property
    def name(self) -> str:
        """The name of the file, as expressions call it; of one that is called results, its folder's."""
        path = PurePosixPath(self.path)
        return path.parent.name if path.stem == "results" else path.stem

    @property
    def rows(self) -> list[Row]:
        """All rows."""
        found: list[Row] = self.content["rows"] if isinstance(self.content, Mapping) else self.content
        return found

    def of(self, **conditions: Any) -> Selection:
        """Return the rows that have these values."""
        met = [row for row in self.rows if all(row.get(key) == value for key, value in conditions.items())]
        return Selection(self.name, met, conditions)

    def names(self, key: str, **conditions: Any) -> list[Any]:
        """Return the values of a key, each once, in the order in which they were first measured."""
        return list(dict.fromkeys(row[key] for row in self.of(**conditions).rows if key in row))

    def has(self, *keys: str) -> bool:
        """Return whether there is a value under these keys."""
        found = self.content
        for key in keys:
            if not isinstance(found, Mapping) or found.get(key) is None:
                return False
            found = found[key]
        return True

    def value(self, *keys: str | int, whole: bool = False) -> Figure:
        """The value under these keys, one within the other."""
        found = self.content
        for key in keys:
            found = found[key]
        return Figure(found, f"value({', '.join([self.name, *map(repr, keys)])})", whole)

    def agreed(self, tool: str) -> Figure:
        """The number of rows in which a tool did what was expected."""
        met = [row for row in self._checked(tool) if row[tool] == row["expected"]]
        return Figure(len(met), f"agreed({self.name}, {tool!r})", whole=True)

    def differing(self, tool: str) -> list[Row]:
        """Return the rows in which a tool did something else than was expected."""
        return [row for row in self._checked(tool) if row[tool] != row["expected"]]

    def checked(self, tool: str) -> Figure:
        """The number of rows that have an answer of the tool, and say what was expected."""
        return Figure(len(self._checked(tool)), f"checked({self.name}, {tool!r})", whole=True)

    def built(self, tool: str, how: str) -> Figure:
        """The number of rows that a tool answered with a construct of its own (native), or of ours (emulated)."""
        met = [row for row in self.rows if row.get(tool) is not None and row["native"][tool] == how]
        return Figure(len(met), f"built({self.name}, {tool!r}, {how!r})", whole=True)

    def at(self, *keys: str) -> Any:
        """Return the content under these keys, one within the other."""
        found = self.content
        for key in keys:
            found = found[key]
        return found

    def runs(self) -> list[tuple[str, ...]]:
        """Return where the facts of each measurement are: at the top, or below each step; nowhere if not said."""
        if self.has("machine"):
            return [()]
        return [("steps", step) for step in self.content["steps"]] if self.has("steps") else []

    def _checked(self, tool: str) -> list[Row]:
        return [row for row in self.rows if row.get(tool) is not None and row.get("expected") is not None]

    def printed(self, name: str, pattern: str) -> Figure | None:
        """The number that the first group of `pattern` finds in what a recorded command printed."""
        row = next((row for row in self.rows if row["name"] == name), None)
        found = re.search(pattern, row["output"]) if row else None
        if found is None:
            return None
        value = float(found[1].replace(",", ""))
        return Figure(value, f"printed({self.name}, {name!r}, {pattern!r})", whole=True)
