"""What a backfill costs: time, processor and memory, with the spread of the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.orchestrators.shapes import NO_OP
from benchmarks.summary import svg
from benchmarks.summary.blocks import (
    Origin,
    caption_id,
    chart,
    charts,
    color,
    file,
    paragraph,
    section,
    shown,
    spread,
    table,
    title,
)  # fmt: skip
from benchmarks.summary.data import READMES, Data
from benchmarks.summary.figures import Range, Results, Selection
from benchmarks.summary.markup import Html, join, tag
from core.run import TASKS

COMMAND, TAKES = "make bench-backfill", "10 minutes"

WITHOUT = "without "
"""What the results of the floor call an orchestrator with all settings tuned but for the one that follows."""


def costs(data: Data) -> Html | None:
    """Return the section; None without a measurement."""
    results = data.get("backfill")
    if results is None:
        return None
    pairs = [_pair(results, key, turns) for key, turns in CHARTS.items()]
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


CHARTS: Mapping[str, Sequence[Named]] = {
    "wall_s": [
        ("load-wall", "New months: wall seconds", "load"),
        ("unchanged-wall", "The same months again, nothing new: wall seconds", "unchanged"),
    ],
    "cpu_s": [
        ("load-cpu", "New months: CPU seconds of the machine, PostgreSQL and dbt included", "load"),
        ("unchanged-cpu", "The same months again: CPU seconds of the machine", "unchanged"),
    ],
    "peak_mb": [
        ("load-memory", "New months: peak memory of services and runs, MB", "load"),
        ("unchanged-memory", "The same months again: peak memory of services and runs, MB", "unchanged"),
    ],
}
"""The charts that are side by side, by what they show."""


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
    sizes, backfill = sorted(results.names("months")), data.get("backfill")
    above = _above(results, backfill)
    return section(
        "floor",
        "The floor: steps that do nothing",
        paragraph("The same pipeline with empty steps, a month as the unit. ", tag("b", "Shipped"), " is every default "
                  "of the orchestrator, and ", tag("b", "tuned"), " the settings of this project's adapter. Below, "
                  "each bar is the tuned setup with one setting back at its default. Not all of them are "
                  "configuration: the shorter loops of Dagster's daemon, its fork server and Prefect's warm engine are "
                  "code of this project, which the READMEs of the adapters (", join(
                      (file(path, title(tool)) for tool, path in READMES.items()), ", "), ") describe."),
        above,
        charts(*(_floor_chart(results, months) for months in sizes)),
        charts(*filter(None, (_one_by_one(results, tool) for tool in results.names("orchestrator")))),
        _settings(results),
        Origin("make bench-floor", "21 minutes", [results, *([backfill] if backfill and above else [])]).line(),
    )  # fmt: skip


def _above(floor: Results, backfill: Results | None) -> Html | None:
    """Say why months of empty steps can take longer than as many unchanged months; None where none do."""
    if backfill is None:
        return None
    months = backfill.rows[0]["months"]
    parts = []
    for tool in floor.names("orchestrator"):
        empty = floor.of(orchestrator=tool, settings="tuned", months=months)
        real = backfill.of(orchestrator=tool, turn="unchanged")
        if empty and real and empty.median("wall_s").value > real.median("wall_s").value:
            walls = [shown(rows.median("wall_s")) for rows in (empty, real)]
            parts.append(join([f"{title(tool)} takes ", walls[0], " s for these, and ", walls[1], " s for those"]))
    if not parts:
        return None
    return paragraph(
        f"Why {months} empty months can take longer than {months} months of the real pipeline without anything new (",
        join(parts, "; "),
        f"): with empty steps, all {len(NO_OP.tasks)} tasks of a month run, its {len(TASKS)} steps and the decision "
        "whether to build. A month in which nothing is new leaves out the build and its tests. Each task that is left "
        "out saves its start, and where each task is a process, that is most of its time.",
    )


Floors = Mapping[str, Selection]
"""The rows of the floor by the label of their bar."""


def _floor_chart(results: Results, months: int) -> Html:
    """Return the chart of all orchestrators, each with all of its settings tuned and with all as shipped."""
    found = {
        (tool, settings): results.of(orchestrator=tool, settings=settings, months=months)
        for tool in results.names("orchestrator", months=months)
        for settings in results.names("settings", orchestrator=tool, months=months)
        if not settings.startswith(WITHOUT)
    }
    labels = {f"{title(tool)}, {settings}": rows for (tool, settings), rows in found.items()}
    colors = {f"{title(tool)}, {settings}": color(tool) for tool, settings in found}
    return _walls(f"floor-{months}", f"{_empty(months)}: wall seconds", labels, colors)


def _one_by_one(results: Results, tool: str) -> Html | None:
    """Return the chart of an orchestrator with one setting at a time as shipped; None when none was measured alone."""
    alone = [name for name in results.names("settings", orchestrator=tool) if name.startswith(WITHOUT)]
    if not alone:
        return None
    months = max(results.names("months", orchestrator=tool, settings=alone[0]))
    # A name starts with its orchestrator's, which is in the caption: on a phone there is no room for it twice.
    labels = {"tuned": "tuned", **{name: name.removeprefix(WITHOUT).removeprefix(f"{tool}.") for name in alone}}
    found = {
        label: results.of(orchestrator=tool, settings=settings, months=months) for settings, label in labels.items()
    }
    caption = f"{title(tool)}, {_empty(months)}, one setting as shipped: wall seconds"
    return _walls(f"floor-{tool}", caption, found, dict.fromkeys(found, color(tool)))


def _empty(months: int) -> str:
    return f"{months} empty {'month' if months == 1 else 'months'}"


def _walls(name: str, caption: str, found: Floors, colors: Mapping[str, str]) -> Html:
    marks = [svg.Mark(label, rows.range("wall_s"), colors[label]) for label, rows in found.items()]
    lines = [[label, spread(rows.range("wall_s")), spread(rows.range("cpu_s"))] for label, rows in found.items()]
    return chart(name, caption, svg.bars(marks, caption_id(name)), table(["", "wall s", "CPU s"], lines, caption))


def _settings(results: Results) -> Html | None:
    """Return what each adapter changes for speed, where the results list it."""
    if not results.has("settings"):
        return None
    lines = [[tag("code", each["name"]), each["value"], each["shipped"]] for each in results.content["settings"]]
    caption = "The tuned settings: what the adapters change for speed alone"
    return table(["setting", "tuned", "as shipped"], lines, caption, words=True)
