"""What a backfill costs: time, processor and memory, with the spread of the rounds."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.summary import svg
from benchmarks.summary.blocks import Origin, caption_id, chart, color, paragraph, section, spread, table, title
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Range, Results
from benchmarks.summary.markup import Html, join, tag

COMMAND, TAKES = "make bench-tools", "17 minutes"


def costs(data: Data) -> Html | None:
    """Return the section; None without a measurement."""
    results = data.get("backfill")
    if results is None:
        return None
    origin = Origin(COMMAND, TAKES, [results])
    charts = [_chart(results, *each, origin) for each in _charts(results)]
    rounds = max(results.names("round"))
    return section(
        "costs",
        "What a backfill costs",
        paragraph(f"{results.rows[0]['months']} months of {results.content['rows_a_month']:,} rows, through each "
                  "orchestrator's own services, with the tuned settings of its adapter. Bars are medians of "
                  f"{rounds} rounds, the line on each goes from the smallest to the largest. Less is better."),
        tag("div", *charts, class_="charts"),
    )  # fmt: skip


def _charts(results: Results) -> list[tuple[str, str, str, str]]:
    """Return name, caption, key and turn of each chart."""
    idle = f"{results.content['idle_s']:g}"
    return [
        ("load-wall", "New months: wall seconds", "wall_s", "load"),
        ("unchanged-wall", "The same months again, nothing new: wall seconds", "wall_s", "unchanged"),
        ("load-cpu", "New months: CPU seconds of the machine, PostgreSQL and dbt included", "cpu_s", "load"),
        ("idle-cpu", f"Services that idle for {idle} s: CPU seconds of the machine", "cpu_s", "idle"),
        ("load-memory", "New months: peak memory of services and runs, MB", "peak_mb", "load"),
        ("idle-memory", "Services that idle: memory, MB", "peak_mb", "idle"),
    ]


def _chart(results: Results, name: str, caption: str, key: str, turn: str, origin: Origin) -> Html:
    found = {each: results.of(orchestrator=each, turn=turn) for each in results.names("orchestrator")}
    ranges = {each: rows.range(key) for each, rows in found.items() if rows}
    marks = [svg.Mark(title(each), ranged, color(each)) for each, ranged in ranges.items()]
    return chart(name, caption, svg.bars(marks, caption_id(name)), _table(ranges, caption), origin)


def _table(ranges: Mapping[str, Range], caption: str) -> Html:
    rows = [[title(name), spread(found)] for name, found in ranges.items()]
    return table(["", "median (smallest - largest)"], rows, caption)


def floor(data: Data) -> Html | None:
    """Return the section on what is left when the steps do nothing, as shipped and as tuned; None without one."""
    results = data.get("floor")
    if results is None:
        return None
    origin = Origin(COMMAND, "under 90 minutes", [results])
    sizes = sorted(results.names("months"))
    return section(
        "floor",
        "The floor: steps that do nothing",
        paragraph("The same pipeline with empty steps, a month as the unit. ", tag("b", "Shipped"), " is every default "
                  "of the orchestrator, ", tag("b", "tuned"), " the settings of this project's adapter, and ",
                  tag("b", "shipped + NAME"), " one of these settings alone."),
        tag("div", *(_floor_chart(results, months, origin) for months in sizes), class_="charts"),
    )  # fmt: skip


def _floor_chart(results: Results, months: int, origin: Origin) -> Html:
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
    return chart(name, caption, svg.bars(marks, caption_id(name)), alternative, origin)
