"""The page on what each orchestrator costs before it runs anything (`benchmarks.orchestrators.footprint`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.harness.markdown import header, number, ranged, table
from benchmarks.harness.measure import Row, Spread, spread
from benchmarks.orchestrators.footprint import IDLE, IDLE_AS_SHIPPED, IMPORTS
from benchmarks.orchestrators.role_meters import cpu_key, peak_key
from benchmarks.orchestrators.roles import ROLES


def page(result: dict[str, Any]) -> str:
    """Return the whole page."""
    rows: list[Row] = result["rows"]
    names = list(dict.fromkeys(row["orchestrator"] for row in rows))
    idle_s = result["idle_s"]
    return "\n".join(
        [
            header("What each orchestrator costs before it runs anything", "benchmarks/results/footprint.json", result),
            "The environment has the orchestrator, its PostgreSQL driver, and what `core` needs (Arrow, psycopg, "
            "NumPy), at the pins of the adapter. Medians, with the smallest and the largest in brackets where there "
            "are several.\n",
            table(["", *names], [_line(rows, names, *each) for each in _measures(rows, idle_s)]),
            f"*Import* is what a pipeline file begins with ({_statements(names)}), in a new interpreter whose modules "
            "are compiled; CPU seconds include the start of the interpreter. *Start* is until the services take work, "
            "with metadata that exists and a PostgreSQL that runs; *stop* includes the end of that PostgreSQL. "
            f"*Idle* is {number(idle_s)} s in which nothing is asked of the services; those of all orchestrators idle "
            "side by side, each with a PostgreSQL of its own. Its CPU is that of their process trees, PostgreSQL "
            "included, and its memory the services' own (proportional set size). "
            f"{_settings(rows)}\n",
            "## What idles\n",
            "The same, by what the processes do: % of one core, and MB at most.\n",
            table(["", *names], _by_role(rows, names, idle_s)),
        ]
    )


def _measures(rows: list[Row], idle_s: float) -> list[tuple[str, str, str, float]]:
    """Return each line of the table: its title, what it is measured in, the key, and a factor."""
    as_shipped = [
        ("idle as shipped, % of one core", IDLE_AS_SHIPPED, "cpu_s", 100 / idle_s),
        ("idle as shipped, MB", IDLE_AS_SHIPPED, "peak_mb", 1.0),
    ]
    return [
        ("installed, MB", "install", "mb", 1),
        ("installed distributions", "install", "distributions", 1),
        ("import, s", "import", "wall_s", 1),
        ("import, CPU s", "import", "cpu_s", 1),
        ("modules that it loads", "import", "modules", 1),
        ("start of the services, s", "start", "wall_s", 1),
        ("start of the services, CPU s", "start", "cpu_s", 1),
        ("stop of the services, s", "stop", "wall_s", 1),
        ("idle, % of one core", IDLE, "cpu_s", 100 / idle_s),
        ("idle, MB", IDLE, "peak_mb", 1),
        *(as_shipped if any(row["what"] == IDLE_AS_SHIPPED for row in rows) else ()),
    ]


def _settings(rows: list[Row]) -> str:
    """Say with which settings the services were watched."""
    if any(row["what"] == IDLE_AS_SHIPPED for row in rows):
        return "*As shipped* is with the orchestrator's own defaults for all that its adapter changes for speed."
    return "Their settings are those of the adapters; as shipped, they were not watched."


def _line(rows: list[Row], names: list[str], title: str, what: str, key: str, factor: float) -> list[str]:
    cells = []
    for name in names:
        values = [row[key] * factor for row in rows if (row["orchestrator"], row["what"]) == (name, what)]
        cells.append(_shown(spread(values), len(values)) if values else "-")
    return [title, *cells]


def _by_role(rows: list[Row], names: list[str], idle_s: float) -> Iterator[list[str]]:
    idle = {row["orchestrator"]: row for row in rows if row["what"] == IDLE}
    for role in ROLES:
        if any(cpu_key(role) in row for row in idle.values()):
            yield [role, *(_role(idle.get(name, {}), role, idle_s) for name in names)]


def _role(row: Row, role: str, idle_s: float) -> str:
    if cpu_key(role) not in row:
        return "-"
    held = f", {number(row[peak_key(role)])} MB" if peak_key(role) in row else ""
    return f"{number(100 * row[cpu_key(role)] / idle_s)}%{held}"


def _statements(names: list[str]) -> str:
    return ", ".join(f"`{IMPORTS[name]}`" for name in names)


def _shown(found: Spread, count: int) -> str:
    """Return the median, with both extremes where there are any; a count of things has all its digits."""
    if count == 1:
        return f"{found.median:,}" if isinstance(found.median, int) else number(found.median)
    if found.low == found.high:
        return f"{found.median:,.0f}" if found.median >= 100 else number(found.median)
    return ranged(found)
