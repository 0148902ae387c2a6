"""What a backfill costs: time, processor and memory, with the spread of the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.summary import svg
from benchmarks.summary.blocks import (
    Origin,
    caption_id,
    chart,
    charts,
    color,
    paragraph,
    section,
    spread,
    table,
    title,
)  # fmt: skip
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Range, Results
from benchmarks.summary.markup import Html, join, tag

COMMAND, TAKES = "make bench-backfill", "15 minutes"


def costs(data: Data) -> Html | None:
    """Return the section; None without a measurement."""
    results = data.get("backfill")
    if results is None:
        return None
    pairs = [_pair(results, key, turns) for key, turns in _charts(results).items()]
    rounds = max(results.names("round"))
    return section(
        "costs",
        "What a backfill costs",
        paragraph(f"{results.rows[0]['months']} months of {results.content['rows_a_month']:,} rows, through each "
                  "orchestrator's own services, with the tuned settings of its adapter. Bars are medians of "
                  f"{rounds} rounds, whiskers run from the smallest to the largest. Less is better. Charts "
                  "side by side have the same axis."),
        *pairs,
        Origin(COMMAND, TAKES, [results]).line(),
    )  # fmt: skip


Named = tuple[str, str, str]
"""A chart: its name, its caption, and the turn that it shows."""


def _charts(results: Results) -> dict[str, list[Named]]:
    """Return the charts that are side by side, by what they show."""
    idle = f"{results.content['idle_s']:g}"
    return {
        "wall_s": [
            ("load-wall", "New months: wall seconds", "load"),
            ("unchanged-wall", "The same months again, nothing new: wall seconds", "unchanged"),
        ],
        "cpu_s": [
            ("load-cpu", "New months: CPU seconds of the machine, PostgreSQL and dbt included", "load"),
            ("idle-cpu", f"Idle services, for {idle} s: CPU seconds of the machine", "idle"),
        ],
        "peak_mb": [
            ("load-memory", "New months: peak memory of services and runs, MB", "load"),
            ("idle-memory", "Idle services: memory, MB", "idle"),
        ],
    }


def _pair(results: Results, key: str, named: Sequence[Named]) -> Html:
    """Return charts of the same unit side by side, on one axis."""
    marks = {name: _marks(_ranges(results, key, turn)) for name, _, turn in named}
    scale = svg.linear(mark for each in marks.values() for mark in each)
    return charts(*(
        chart(name, caption, svg.bars(marks[name], caption_id(name), scale),
              _table(_ranges(results, key, turn), caption))
        for name, caption, turn in named
    ), columns=2)  # fmt: skip


def _ranges(results: Results, key: str, turn: str) -> dict[str, Range]:
    found = {each: results.of(orchestrator=each, turn=turn) for each in results.names("orchestrator")}
    return {each: rows.range(key) for each, rows in found.items() if rows}


def _marks(ranges: Mapping[str, Range]) -> list[svg.Mark]:
    return [svg.Mark(title(each), ranged, color(each)) for each, ranged in ranges.items()]


def _table(ranges: Mapping[str, Range], caption: str) -> Html:
    rows = [[title(name), spread(found)] for name, found in ranges.items()]
    return table(["", "median (smallest - largest)"], rows, caption)


def floor(data: Data) -> Html | None:
    """Return the section on what is left when the steps do nothing, as shipped and as tuned; None without one."""
    results = data.get("floor")
    if results is None:
        return None
    sizes = sorted(results.names("months"))
    return section(
        "floor",
        "The floor: steps that do nothing",
        paragraph("The same pipeline with empty steps, a month as the unit. ", tag("b", "Shipped"), " is every default "
                  "of the orchestrator, ", tag("b", "tuned"), " the settings of this project's adapter, and ",
                  tag("b", "without NAME"), " those but for one, which is as shipped."),
        charts(*(_floor_chart(results, months) for months in sizes)),
        _settings(results),
        Origin("make bench-floor", "30 minutes", [results]).line(),
    )  # fmt: skip


def _floor_chart(results: Results, months: int) -> Html:
    name, caption = f"floor-{months}", f"{months} empty {'month' if months == 1 else 'months'}: wall seconds"
    found = {
        (tool, settings): results.of(orchestrator=tool, settings=settings, months=months)
        for tool in results.names("orchestrator", months=months)
        for settings in results.names("settings", orchestrator=tool, months=months)
    }
    marks = [
        svg.Mark(f"{title(tool)}, {settings}", rows.range("wall_s"), color(tool))
        for (tool, settings), rows in found.items()
    ]
    lines = [
        [join([title(tool), ", ", settings]), spread(rows.range("wall_s")), spread(rows.range("cpu_s"))]
        for (tool, settings), rows in found.items()
    ]
    alternative = table(["", "wall s", "CPU s"], lines, caption)
    return chart(name, caption, svg.bars(marks, caption_id(name)), alternative)


def _settings(results: Results) -> Html | None:
    """Return what each adapter changes for speed, where the results list it."""
    if not results.has("settings"):
        return None
    lines = [[tag("code", each["name"]), each["value"], each["shipped"]] for each in results.content["settings"]]
    caption = "The tuned settings: what the adapters change for speed alone"
    return table(["setting", "tuned", "as shipped"], lines, caption, words=True)
