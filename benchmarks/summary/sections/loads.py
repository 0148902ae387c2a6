"""Loading a month: the race, the strategies, and rules of thumb about inserts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.harness.markdown import number
from benchmarks.load.race import TOGETHER
from benchmarks.strategies.claims import METHODS
from benchmarks.summary import svg
from benchmarks.summary.blocks import (
    Origin,
    caption_id,
    chart,
    charts,
    paragraph,
    section,
    shown,
    spread,
    table,
    terms,
)  # fmt: skip
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Results, Selection
from benchmarks.summary.markup import Html, tag

TERMS = {
    "swap": "builds the month in a side table, then puts that in the place of the old partition",
    "delete-append": "deletes the rows of the file's month and appends the file, both in one transaction; the usual "
    "pattern, which lost rows above, deletes by pickup date and appends in a transaction of its own",
    "overwrite": "writes the whole table again",
    "upsert": "updates the rows that differ, inserts the new ones, and deletes those that are gone",
    "WAL": "the write-ahead log: what PostgreSQL writes of each change before the tables, for recovery and replicas",
    "dead rows": "old versions of rows, which take up space and time until a vacuum removes them",
}
"""The strategies, and what their costs are counted in."""

OURS, LIMIT = "tool-ours", "tool-plain"


def race(data: Data) -> Html | None:
    """Return the section on the load race; None without a measurement."""
    results = data.get("load")
    if results is None:
        return None
    sizes = sorted(results.names("rows", method="limit"))
    scale = svg.logarithmic(mark for size in sizes for mark in _race_marks(_ordered(results, size)))
    return section(
        "race",
        "How fast a month loads",
        paragraph("One file of trips into PostgreSQL. ", tag("code", "limit"), " is a COPY of bytes that were encoded "
                  "in advance: the time that the server needs. ", tag("code", "triptych-step"), " is the whole step of "
                  "this project, with locks, ledger and digest; ", tag("code", "triptych-copy"), " its COPY alone. "
                  "The scale is logarithmic, and the same in all charts: a step to the right is ten times as long."),
        terms({"ledger": "a table that records each published month, written in the same transaction",
               "digest": "a hash of all rows of a table, whatever their order; equal digests are equal tables"}),
        charts(*(_race(results, size, scale) for size in sizes)),
        Origin("make bench-race", "20 minutes, 12 GB of memory", [results]).line(),
    )  # fmt: skip


def _ordered(results: Results, size: int) -> list[tuple[str, Selection]]:
    """Return each method with its rows of a size, the fastest first."""
    found = {name: results.of(method=name, rows=size) for name in results.names("method") if name not in TOGETHER}
    return sorted((item for item in found.items() if item[1]), key=lambda item: item[1].median("wall_s").value)


def _race_marks(ordered: Sequence[tuple[str, Selection]]) -> list[svg.Mark]:
    return [svg.Mark(method, rows.range("wall_s"), _color(method)) for method, rows in ordered]


def _race(results: Results, size: int, scale: svg.Scale) -> Html:
    ordered = _ordered(results, size)
    name, caption = f"race-{size}", f"{size:,} rows: wall seconds, logarithmic"
    lines = [[tag("code", method), *_race_cells(rows)] for method, rows in ordered]
    head = ["method", "wall s", "times the limit", "client CPU s", "server CPU s", "peak MB", "rounds"]
    what = f"{caption}. Times the limit: the median of the rounds' ratios, each to the limit of the same round"
    drawing = svg.dots(_race_marks(ordered), caption_id(name), scale)
    return chart(name, caption, drawing, table(head, lines, what))


def _race_cells(rows: Selection) -> list[Html]:
    keys = ("ratio_to_limit", "client_cpu_s", "server_cpu_s", "peak_rss_mb")
    medians = [shown(rows.median(key)) if any(row.get(key) is not None for row in rows.rows) else Html("-")
               for key in keys]  # fmt: skip
    return [spread(rows.range("wall_s")), *medians, shown(rows.count())]


def _color(method: str) -> str:
    return OURS if method.startswith("triptych") else LIMIT if method == "limit" else "tool-other"


def strategies(data: Data) -> Html | None:
    """Return the section on what a reload costs by strategy, and on inserts; None without a measurement."""
    growth = data.get("growth")
    if growth is None:
        return None
    claims = data.get("claims")
    largest = max(growth.names("months"))
    drawn = [
        _strategy_chart(growth, largest, *each)
        for each in (
            ("reload-wall", "wall seconds", "wall_s", 1.0),
            ("reload-wal", "MB of write-ahead log", "wal_bytes", 1e6),
        )
    ]
    return section(
        "strategies",
        "What a reload costs by strategy",
        paragraph(f"One month of {growth.content['conditions']['rows_per_month']:,} rows is loaded again, among "
                  f"{listed_sizes(growth)} months. All strategies publish it in one transaction and leave the same "
                  "rows; they differ in what that costs. Every reader saw complete months only."),
        terms(TERMS),
        charts(*drawn, columns=2),
        _strategy_table(growth),
        _inserts(claims),
        Origin("make bench-growth", "5 minutes", [growth, *([claims] if claims else [])]).line(),
    )  # fmt: skip


def listed_sizes(growth: Results) -> str:
    """Return the sizes of the table, in months: 6, 24 or 60."""
    *others, last = map(str, sorted(growth.names("months")))
    return f"{', '.join(others)} or {last}" if others else last


def _strategy_chart(growth: Results, months: int, name: str, unit: str, key: str, per: float) -> Html:
    caption = f"A month reloaded among {months}: {unit}, logarithmic"
    found = {each: growth.of(strategy=each, months=months) for each in growth.names("strategy")}
    ranges = {each: rows.range(key) / per if per != 1 else rows.range(key) for each, rows in found.items() if rows}
    marks = [svg.Mark(each, ranged, OURS if each == "swap" else "tool-other") for each, ranged in ranges.items()]
    lines = [[each, spread(ranged)] for each, ranged in ranges.items()]
    return chart(name, caption, svg.dots(marks, caption_id(name)), table(["strategy", unit], lines, caption))


def _strategy_table(growth: Results) -> Html:
    found = {
        (strategy, months): growth.of(strategy=strategy, months=months)
        for strategy in growth.names("strategy")
        for months in sorted(growth.names("months"))
    }
    lines = [
        [f"{strategy}, {months} months", spread(rows.range("wall_s")), shown(rows.median("wal_bytes") / 1e6),
         shown(rows.median("dead_rows")), shown(rows.high("reader_max_ms"))]
        for (strategy, months), rows in found.items() if rows
    ]  # fmt: skip
    head = ["strategy", "s", "WAL, MB", "dead rows", "a reader's longest wait, ms"]
    return tag("details", tag("summary", "Show every size"), table(head, lines, "A month reloaded, by strategy"))


def _inserts(claims: Results | None) -> Html | None:
    if claims is None:
        return None
    delays = sorted(claims.names("one_way_ms"))
    scale = svg.logarithmic(mark for delay in delays for mark in _insert_marks(_ways(claims, delay)))
    return tag(
        "div",
        tag("h3", "Ways to insert, near and far"),
        paragraph("Microseconds a row, beside the server and with a network in between. A way that waits for each "
                  "row pays the round trip for each. The charts have the same axis."),
        charts(*(_insert_chart(claims, delay, scale) for delay in delays)),
    )  # fmt: skip


def _ways(claims: Results, delay: float) -> dict[str, Selection]:
    return {name: claims.of(method=name, one_way_ms=delay) for name in claims.names("method", one_way_ms=delay)}


def _insert_marks(found: Mapping[str, Selection]) -> list[svg.Mark]:
    return [
        svg.Mark(each, rows.range("us_per_row"), OURS if each == "copy" else "tool-other")
        for each, rows in found.items()
    ]


def _insert_chart(claims: Results, delay: float, scale: svg.Scale) -> Html:
    found = _ways(claims, delay)
    trip = next(iter(found.values())).rows[0]["round_trip_ms"]
    name, caption = f"inserts-{delay:g}", f"Round trip {number(trip)} ms: microseconds a row, logarithmic"
    words = {each: METHODS[each].words.replace("`", "") if each in METHODS else each for each in found}
    lines = [[words[each], spread(rows.range("us_per_row"))] for each, rows in found.items()]
    alternative = table(["way", "microseconds a row"], lines, caption)
    return chart(name, caption, svg.dots(_insert_marks(found), caption_id(name), scale), alternative)
