"""The page on what a month costs when its steps do nothing, from the results of `benchmarks.orchestrators.floor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.harness.markdown import header, number, ranged, table
from benchmarks.harness.measure import Row, Spread, spread

TUNED, SHIPPED, WITHOUT = "tuned", "shipped", "without "


def page(result: dict[str, Any]) -> str:
    """Return the whole page."""
    rows: list[Row] = result["rows"]
    names = list(dict.fromkeys(row["orchestrator"] for row in rows))
    counts = sorted({row["months"] for row in rows})
    return "\n".join(
        [
            header("What each orchestrator costs when the steps do nothing", "benchmarks/results/floor.json", result),
            "A backfill of months whose six tasks, in the shape of the taxi pipeline, do nothing. A month is the unit "
            "of run, retry and history, and two run at a time. `tuned` has the settings of the adapter; `shipped` has "
            "the orchestrator's own defaults in place of those that the adapter changes for speed. What an adapter "
            "sets for safety is the same in both. Wall seconds by an outside clock: medians of "
            f"{_rounds(rows, TUNED)} rounds of what is tuned and {_rounds(rows)} of all else, with the smallest and "
            "the largest in brackets where there are several.\n",
            "## Wall seconds by months\n",
            table(["", *map(str, counts)], _walls(rows, names, counts)),
            f"## Where they go, {_months_of_one(rows)} months\n",
            "`months`: from the start of the first month to the end of the last one, by the orchestrator's own clock. "
            "The rest of the wall seconds are queues and polls before the first month and after the last one. CPU "
            "seconds are the machine's: PostgreSQL and the lab are part of them.\n",
            table(["", "wall s", "months, s", "the rest, s", "CPU s"], _parts(rows, names, _months_of_one(rows))),
            *_one_by_one(result, rows),
        ]
    )


def _rounds(rows: list[Row], settings: str | None = None) -> int:
    """Return in how many rounds the rows of some settings were measured: without a name, those of all but TUNED."""
    wanted = [row["round"] for row in rows if (row["settings"] == settings if settings else row["settings"] != TUNED)]
    return max(wanted, default=0)


def _one_by_one(result: dict[str, Any], rows: list[Row]) -> Iterator[str]:
    """Yield the part on single settings, with what each changes if they were measured one by one."""
    if lines := list(_settings(result, rows)):
        yield "## What each setting changes alone\n"
        yield (
            f"Everything tuned but one setting, which is as shipped, {_months_of_one(rows)} months. "
            "`TRIPTYCH_AS_SHIPPED` with the name of the setting does the same to any command. CPU seconds are those "
            "with the setting as shipped.\n"
        )
        yield table(["setting", "tuned", "as shipped", "tuned: wall s", "as shipped: wall s", "CPU s"], lines)
        return
    yield "## The settings that differ\n"
    yield "They were not measured one by one.\n"
    lines = [[f"`{each['name']}`", each["value"], each["shipped"]] for each in result["settings"]]
    yield table(["setting", "tuned", "as shipped"], lines, align="---")


def _walls(rows: list[Row], names: list[str], counts: list[int]) -> Iterator[list[str]]:
    for name in names:
        for settings in (TUNED, SHIPPED):
            found = (_spread(rows, "wall_s", name, settings, count) for count in counts)
            yield [f"{name}, {settings}", *(_shown(each) if each else "-" for each in found)]


def _parts(rows: list[Row], names: list[str], months: int) -> Iterator[list[str]]:
    for name in names:
        for settings in (TUNED, SHIPPED):
            found = [{**row, "rest_s": row["wall_s"] - row["runs_s"]} for row in rows if row["settings"] == settings]
            spreads = (_spread(found, what, name, settings, months) for what in ("wall_s", "runs_s", "rest_s", "cpu_s"))
            yield [f"{name}, {settings}", *(_shown(each) if each else "-" for each in spreads)]


def _settings(result: dict[str, Any], rows: list[Row]) -> Iterator[list[str]]:
    months = _months_of_one(rows)
    for setting in result["settings"]:
        name = setting["name"].partition(".")[0]
        tuned = _spread(rows, "wall_s", name, TUNED, months)
        without = [_spread(rows, what, name, WITHOUT + setting["name"], months) for what in ("wall_s", "cpu_s")]
        found = [_shown(each) for each in (tuned, *without) if each]
        if len(found) == 1 + len(without):
            yield [f"`{setting['name']}`", setting["value"], setting["shipped"], *found]


def _months_of_one(rows: list[Row]) -> int:
    """Return with how many months the settings were measured one by one."""
    return next(
        (int(row["months"]) for row in rows if row["settings"].startswith(WITHOUT)), max(r["months"] for r in rows)
    )


def _spread(rows: list[Row], what: str, name: str, settings: str, months: int) -> Spread | None:
    key = (name, settings, months)
    values = [row[what] for row in rows if (row["orchestrator"], row["settings"], row["months"]) == key]
    return spread(values) if values else None


def _shown(found: Spread) -> str:
    if found.low == found.high:
        return number(found.median)
    return ranged(found)
