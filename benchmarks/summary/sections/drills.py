"""Drills: whatever a file of drills holds, row by row."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.summary.blocks import Origin, section, shown, table
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Results
from benchmarks.summary.markup import Content, Html


def drills(data: Data) -> Html | None:
    """Return the section; None without a file of drills."""
    results = data.get("drills")
    if results is None or not results.rows:
        return None
    keys = [key for key in dict.fromkeys(key for row in results.rows for key in row) if _is_shown(results, key)]
    lines = [_line(results, number, keys) for number in range(len(results.rows))]
    head = [key.replace("_", " ") for key in keys]
    return section(
        "drills",
        "Drills",
        table(head, lines, "What was broken, and what happened", words=True),
        Origin("make drills", "see its page", [results]).line(),
    )


def _is_shown(results: Results, key: str) -> bool:
    """Return whether a column holds single values only: what is nested belongs to a page of its own."""
    return not any(isinstance(row.get(key), dict | list) for row in results.rows)


def _line(results: Results, number: int, keys: Sequence[str]) -> list[Content]:
    row = results.rows[number]
    return [_cell(results, number, key) if key in row else "-" for key in keys]


def _cell(results: Results, number: int, key: str) -> Content:
    value = results.rows[number][key]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return shown(results.value("rows", number, key, whole=isinstance(value, int)))
    return "-" if value is None else str(value)
