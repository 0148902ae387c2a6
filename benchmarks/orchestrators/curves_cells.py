"""The cells of the page on what grows: which rows are of a line, and what is shown of them."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.harness.markdown import number, ranged
from benchmarks.harness.measure import Row, spread

Line = tuple[str, str]
"""An orchestrator, or Python alone, and its kind of isolation."""


OTHERWISE = {"not ended": "did not end", "failed": "failed"}
"""What the page says of rows that did not end well, by their state."""


def rate(row: Row) -> float:
    """Return how many tasks or runs ended in each second of a measurement."""
    return float(row["ended"] / row["run_s"])


def cell(rows: list[Row], what: str) -> str:
    """Return the median and spread of the rows that ended; what happened, when none did."""
    values = [row[what] for row in rows if row["state"] == "ended" and row.get(what) is not None]
    if values:
        found = spread(values)
        shown = number(found.median) if len(values) == 1 else ranged(found)
        counts = {words: sum(row["state"] == state for row in rows) for state, words in OTHERWISE.items()}
        return ", ".join([shown, *(f"{count} of {len(rows)} {words}" for words, count in counts.items() if count)])
    return _why(rows[0]) if rows else "-"


def _why(row: Row) -> str:
    if row["state"] == "failed":
        return f"failed: {row.get('error') or 'see the results'}".replace("|", r"\|")
    asked = row.get(row["what"])
    done = f", {row['ended']:,} of {asked:,} done" if asked and "ended" in row else ""
    return f"not ended after {number(row['deadline_s'])} s{done}"


def select(rows: list[Row], what: str) -> list[Row]:
    """Return the rows of one measurement."""
    return [row for row in rows if row["what"] == what]


def of(rows: list[Row], line: Line) -> list[Row]:
    """Return the rows of a line."""
    return [row for row in rows if (row["orchestrator"], row["isolation"]) == line]


def lines(rows: Sequence[Row]) -> list[Line]:
    """Return the lines that there are, those of a kind of isolation side by side."""
    return sorted(dict.fromkeys((row["orchestrator"], row["isolation"]) for row in rows), key=lambda line: line[1])


def title(line: Line) -> str:
    """Return a line in words."""
    return ", ".join(line)
