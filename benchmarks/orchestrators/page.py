"""The page on what a backfill costs on each orchestrator, and the table of it that the README shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.harness.markdown import AIMS, header, number, ranged, table, verdict
from benchmarks.harness.measure import Row, Spread, spread
from benchmarks.orchestrators.months_page import CPU, MEMORY, by_role, pictures, sections
from benchmarks.orchestrators.role_meters import cpu_key, peak_key

__all__ = ["AIM_S", "BASELINE", "FLOOR", "costs", "page", "pictures"]

BASELINE = "plain"

AIM_S = {"airflow": 6.0, "dagster": 8.0, "prefect": 10.0}
"""The most wall seconds that 12 unchanged months should take."""

FLOOR = 1.05
"""The most that a load may take beyond the baseline, as a multiple of the same months unchanged."""


def page(result: dict[str, Any]) -> str:
    """Return the whole page."""
    rows: list[Row] = result["rows"]
    names, months = _names(rows), rows[0]["months"]
    return "\n".join(
        [
            header("What a backfill costs on each orchestrator", "benchmarks/results/backfill.json", result),
            f"{months} months of {result['rows_a_month']:,} rows each, through each orchestrator's own services. A "
            "month is the unit of run, retry and history, and two months run at a time. Every orchestrator has the "
            "settings of its adapter, which are tuned: the README in the adapter's folder names each one with its "
            f"reason. The figures are medians of {_rounds(rows)} rounds, with the smallest and the largest in "
            "brackets. In a round the orchestrators take turns, and only the services of the one that has its turn "
            "run.\n",
            "## Wall seconds\n",
            _table(rows, "wall_s", "load", "unchanged", "start"),
            "`load`: the months are new, and each is fetched, loaded, transformed and checked. `unchanged`: the same "
            "months again, so that each step finds that nothing is to be done: nearly the orchestrator's own cost. "
            f"`start`: the services come up, and in the first round their databases are made as well. {_dbt(result)}\n",
            "## CPU seconds\n",
            _table(rows, "cpu_s", "load", "unchanged", "start"),
            "User and system time of the whole machine, so PostgreSQL, dbt and the lab are part of it. "
            "What the services use while nothing is asked of them is part of [the footprint](footprint.md).\n",
            *by_role(rows, cpu_key, CPU),
            "## Memory, MB\n",
            _table(rows, "peak_mb", "load", "unchanged"),
            "The largest sum of what the orchestrator's own processes held, services and runs, without PostgreSQL and "
            "dbt. A page of memory that several processes share counts once (proportional set size).\n",
            *by_role(rows, peak_key, MEMORY),
            *sections(result),
            "## Against the aims\n",
            table(AIMS, _aims(rows, [name for name in names if name != BASELINE])),
        ]
    )


def _dbt(result: dict[str, Any]) -> str:
    """Say whether the first build of the baseline waits until dbt is warm: it did before that was waited for."""
    if "dbt" in result:
        return "dbt is warm before `load` begins."
    return (
        f"In `load`, the first build of `{BASELINE}` waits until dbt is warm, which the services of the others take "
        f"longer to start than. So `{BASELINE}` is some seconds too slow here, and what a load takes beyond it is more "
        "than these figures say. The benchmark now waits before the clock starts; these results are older."
    )


def costs(result: dict[str, Any], footprint: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the table that the README shows, head and lines: a line for each measure, a column for each name.

    It is of the results of a backfill, and of those of `benchmarks.orchestrators.footprint`.
    """
    rows: list[Row] = result["rows"]
    names, months = _names(rows), rows[0]["months"]
    idle = {row["orchestrator"]: row for row in footprint["rows"] if row["what"] == "idle"}

    def line(title: str, what: str, turn: str) -> list[str]:
        found = [_spread(rows, name, what, turn) for name in names]
        return [title, *(number(each.median) if each else "-" for each in found)]

    def idle_line(title: str, what: str, factor: float = 1.0) -> list[str]:
        return [title, *(number(idle[name][what] * factor) if name in idle else "-" for name in names)]

    return ["", *names], [
        line(f"{months} months of {result['rows_a_month']:,} rows: seconds", "wall_s", "load"),
        line("the same months again, nothing new: seconds", "wall_s", "unchanged"),
        line(f"{months} months: CPU seconds, with PostgreSQL and dbt", "cpu_s", "load"),
        idle_line("idle services: MB of memory", "peak_mb"),
        idle_line("idle services: % of one core, with PostgreSQL", "cpu_s", 100 / footprint["idle_s"]),
        line("start of the services: seconds", "wall_s", "start"),
    ]


def _names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["orchestrator"] for row in rows))


def _rounds(rows: Iterable[Row]) -> int:
    return max(int(row["round"]) for row in rows)


def _spread(rows: Iterable[Row], name: str, what: str, turn: str) -> Spread | None:
    """Return None where the orchestrator has no such turn."""
    values = [row[what] for row in rows if row["orchestrator"] == name and row["turn"] == turn]
    return spread(values) if values else None


def _shown(found: Spread | None) -> str:
    return ranged(found) if found else "-"


def _table(rows: list[Row], what: str, *turns: str) -> str:
    lines = [[name, *(_shown(_spread(rows, name, what, turn)) for turn in turns)] for name in _names(rows)]
    return table(["orchestrator", *turns], lines)


def _aims(rows: list[Row], names: list[str]) -> Iterator[list[str]]:
    def wall_s(name: str, turn: str) -> float:
        found = _spread(rows, name, "wall_s", turn)
        assert found is not None, f"{name} has no turn {turn!r}"
        return found.median

    for name in names:
        if name in AIM_S and rows[0]["months"] == 12:
            yield verdict(f"{name}: 12 unchanged months, s", wall_s(name, "unchanged"), AIM_S[name])
    for name in names:
        beyond = (wall_s(name, "load") - wall_s(BASELINE, "load")) / wall_s(name, "unchanged")
        yield verdict(f"{name}: what a load takes beyond {BASELINE}, per unchanged backfill", beyond, FLOOR)
