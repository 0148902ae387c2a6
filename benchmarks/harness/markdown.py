"""The parts of every generated page: where it comes from, what it was measured on, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.harness.measure import Spread


def header(title: str, results: str, result: dict[str, Any]) -> str:
    """Return the head of a page: its title, the file that it was made from, the machine and the versions."""
    return (
        f"<!-- Generated from {results} by `python -m benchmarks.harness.report`. Do not edit. -->\n\n"
        f"# {title}\n\n{measured_on(result)}\n"
    )


def measured_on(result: dict[str, Any]) -> str:
    """Return one paragraph: when, on which machine, with which versions."""
    machine, versions = result["machine"], result["versions"]
    listed = ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))
    return (
        f"Measured {result['measured_at'][:16].replace('T', ' ')} UTC on {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['ram_gb']} GB, {machine['system']}; load average at the start {machine['load_average_at_start']}. "
        f"With {listed}."
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, align: str = "---:") -> str:
    """Return a table. All columns but the first are numbers, unless `align` says otherwise."""
    lines = [head, ["---", *[align] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def number(value: float) -> str:
    """Return three significant digits, without an exponent."""
    digits = 3 if value < 0.1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def ranged(found: Spread) -> str:
    """Return a median, with the smallest and the largest in brackets."""
    return f"{number(found.median)} ({number(found.low)} - {number(found.high)})"


def verdict(aim: str, result: float, limit: float, *, at_least: bool = False) -> list[str]:
    """Return a line of the table of aims: the aim, its bound, the result, and whether or by how much it is missed."""
    met = result >= limit if at_least else result <= limit
    missed = limit / result - 1 if at_least else result / limit - 1
    bound = f"{'at least' if at_least else 'at most'} {number(limit)}"
    return [
        aim,
        bound,
        number(result),
        "met" if met else f"missed by {missed:.0%}" if missed >= 0.01 else "missed by less than 1%",
    ]


AIMS = ("aim", "bound", "result", "verdict")
"""The head of a table of `verdict` lines."""
