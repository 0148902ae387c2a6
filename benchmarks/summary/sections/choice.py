"""Which of the three for you: derived from the results by a rule that the page declares, never from an opinion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.summary.blocks import TOOLS, Origin, listed, paragraph, section, shown, spread, table, title
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Range, Results
from benchmarks.summary.markup import Content, Html, join, tag

SMALL_RUNS = 1000
"""N of the question "N small tasks"."""

HEAVY_MONTHS = 120
"""M of the question "M heavy months": ten years."""

SHARE = 0.05
"""An orchestrator's own time is no reason to choose it where it is less than this share of the work."""

RULE = (
    "For each question the page takes one measure, and names the orchestrator with the smallest median. Another one "
    "whose range (smallest to largest round) overlaps with that one's range counts as equal, and is named too. Where "
    "a question has several measures, only an orchestrator that leads in all of them is named. Plain Python is the "
    "zero line, and is not ranked."
)


@dataclass(frozen=True)
class Measure:
    """What is compared, and the range of each orchestrator; less is better."""

    words: str
    ranges: Mapping[str, Range]

    def leaders(self) -> list[str]:
        """Return the one with the smallest median, first, and those whose range overlaps with its range."""
        ordered = sorted(self.ranges, key=lambda name: self.ranges[name].median.value)
        best = self.ranges[ordered[0]]
        return [name for name in ordered if name == ordered[0] or self.ranges[name].low.value <= best.high.value]


def leading(measures: Sequence[Measure]) -> list[str]:
    """Return those that lead in every measure, in the order of the first."""
    return [name for name in measures[0].leaders() if all(name in each.leaders() for each in measures)]


def choice(data: Data) -> Html | None:
    """Return the section; None when the backfill was not measured, or not on at least two orchestrators."""
    backfill = data.get("backfill")
    if backfill is None or len(_tools(backfill)) < 2:
        return None
    cards = [_small(backfill), _chained(data.get("chains")), _heavy(backfill), _machine(backfill)]
    return section(
        "choice",
        "Which of the three for you",
        paragraph(tag("strong", "The rule. "), RULE),
        _settings(data, backfill),
        tag("div", *cards, class_="cards"),
        Origin("make bench-tools", "17 minutes", [each for each in (backfill, data.get("chains")) if each]).line(),
    )


def _settings(data: Data, backfill: Results) -> Html:
    """Say under which settings the ranking holds: a ranking without them says nothing."""
    floor = data.get("floor")
    shipped = "what each of them costs as it is shipped is below" if floor else "as shipped, they were not measured"
    link: Content = tag("a", shipped, href="#floor") if floor else shipped
    names = listed(
        [f"{title(tool)} {version}" for tool in TOOLS if (version := backfill.content["versions"].get(tool))]
    )
    return paragraph(
        f"{names or 'All'} ran with the tuned settings of this project's adapters (the README of each adapter names "
        "every setting with its reason); ",
        link,
        ". A month is one run, two run at a time, on one machine.",
    )


def _tools(results: Results) -> list[str]:
    return [name for name in results.names("orchestrator") if name in TOOLS]


def _all(results: Results) -> list[str]:
    """Return the baseline and the orchestrators, in the order of the results."""
    return [name for name in results.names("orchestrator") if name in TOOLS or name == "plain"]


def _ranges(results: Results, key: str, turn: str) -> dict[str, Range]:
    found = {name: results.of(orchestrator=name, turn=turn) for name in _all(results)}
    return {name: rows.range(key) for name, rows in found.items() if rows}


def _ranked(ranges: Mapping[str, Range]) -> dict[str, Range]:
    return {name: found for name, found in ranges.items() if name in TOOLS}


def _verdict(measures: Sequence[Measure], least: str) -> Html:
    """Return the sentence that answers, by the rule."""
    names = [title(name) for name in leading(measures)]
    if len(names) == 1:
        return tag("p", tag("strong", names[0]), f" {least}.", class_="verdict")
    if names:
        return tag("p", tag("strong", listed(names)), f": equal by the rule; each {least}.", class_="verdict")
    return tag("p", tag("strong", "None of them"), f" {least} by every measure below.", class_="verdict")


def _card(name: str, heading: str, *contents: Content) -> Html:
    return tag("div", tag("h3", heading), *contents, class_="card", id=name)


def _small(backfill: Results) -> Html:
    """Many small tasks: what a run costs that finds nothing to do."""
    months = backfill.rows[0]["months"]
    ranges = {name: found / months for name, found in _ranges(backfill, "wall_s", "unchanged").items()}
    measure = Measure("seconds a run", _ranked(ranges))
    rows = [[title(name), spread(found), shown(found.median * SMALL_RUNS / 60)] for name, found in ranges.items()]
    return _card(
        "choice-small",
        "Many small runs",
        _verdict([measure], "takes the least time of its own"),
        paragraph(f"Measured: {months} months that were loaded before, so that every step finds nothing to do. What "
                  "is left is the orchestrator's own time."),
        table(["", "s a run", f"{SMALL_RUNS:,} runs, min"], rows, "Wall seconds of a run with nothing to do, and of "
              f"{SMALL_RUNS:,} in proportion"),
    )  # fmt: skip


def _chained(chains: Results | None) -> Html | None:
    """Many small tasks in one run: seconds a task of the chain of light ones, within each class of isolation."""
    light = chains.of(chain="light") if chains else None
    if not chains or not light:
        return None
    parts = []
    for isolation in chains.names("isolation", chain="light"):
        found = {
            name: chains.of(chain="light", isolation=isolation, orchestrator=name)
            for name in chains.names("orchestrator", chain="light", isolation=isolation)
        }
        ranges = {name: rows.range("run_s") / float(rows.rows[0]["tasks"]) for name, rows in found.items()}
        ranked = _ranked(ranges)
        rows = [[title(name), spread(each), shown(each.median * SMALL_RUNS / 60)] for name, each in ranges.items()]
        parts += [
            _verdict([Measure("s a task", ranked)], f"takes least ({isolation})") if len(ranked) > 1 else None,
            table(["", "s a task", f"min for {SMALL_RUNS:,}"], rows, f"One task after the other, {isolation}"),
        ]
    return _card("choice-chained", "Many small tasks in one run", *parts)


def _heavy(backfill: Results) -> Html:
    """Few heavy months: what a load takes beyond the baseline's, and how small a share of heavy work that is."""
    months, rows_a_month = backfill.rows[0]["months"], backfill.content["rows_a_month"]
    ranges = _ranges(backfill, "wall_s", "load")
    measure = Measure("seconds", _ranked(ranges))
    head: list[Content] = ["", f"{months} months, s", f"{HEAVY_MONTHS} months, min"]
    rows: list[list[Content]] = [
        [title(name), spread(found), shown(found.median / months * HEAVY_MONTHS / 60), *_beyond(name, ranges, months)]
        for name, found in ranges.items()
    ]
    note = None
    if "plain" in ranges:
        head += ["beyond plain, s a month", f"under {SHARE:.0%} from"]
        note = paragraph(
            f"The last column is how many seconds of work a month must hold for the orchestrator's own time to be less "
            f"than {SHARE:.0%} of it. If yours holds more, speed is no reason to choose."
        )
    return _card(
        "choice-heavy",
        "Heavy months",
        _verdict([measure], "loads them in the least time"),
        paragraph(f"Measured: {months} new months of {rows_a_month:,} rows, fetched, loaded, transformed, checked."),
        table(head, rows, "Wall seconds of a backfill, and what it takes beyond plain Python"),
        note,
    )


def _beyond(name: str, ranges: Mapping[str, Range], months: int) -> list[Html]:
    """Return the seconds a month that an orchestrator takes beyond the baseline, and the work they are small beside."""
    if "plain" not in ranges:
        return []
    if name == "plain":
        return [Html("-"), Html("-")]
    beyond = (ranges[name].median - ranges["plain"].median) / months
    return [shown(beyond), join([shown(beyond / SHARE), " s"])]


def _machine(backfill: Results) -> Html:
    """One small machine: what the services hold and use while they idle, and what a backfill needs."""
    idle_s = backfill.value("idle_s")
    measures = [
        Measure("idle, MB", _ranked(_ranges(backfill, "peak_mb", "idle"))),
        Measure("idle, % of a core", {name: found * 100 / idle_s for name, found in
                                      _ranked(_ranges(backfill, "cpu_s", "idle")).items()}),
        Measure("loading, MB", _ranked(_ranges(backfill, "peak_mb", "load"))),
        Measure("start, s", _ranked(_ranges(backfill, "wall_s", "start"))),
    ]  # fmt: skip
    measures = [each for each in measures if len(each.ranges) > 1]
    lines = [[title(name), *(_cell(each, name) for each in measures)] for name in _tools(backfill)]
    return _card(
        "choice-machine",
        "One small machine",
        _verdict(measures, "asks for the least"),
        paragraph("Measured: memory and processor of services that idle, the peak of a backfill, and the start. "
                  "A leader of a measure is marked ", tag("b", "least"), "."),
        table(["", *(each.words for each in measures)], lines, "What the services need: medians of the rounds"),
    )  # fmt: skip


def _cell(measure: Measure, name: str) -> Html:
    found = measure.ranges.get(name)
    if found is None:
        return Html("-")
    leaders = measure.leaders()
    mark = tag("b", " least" if name == leaders[0] else " equal", class_="least") if name in leaders else None
    return join([shown(found.median), mark])
