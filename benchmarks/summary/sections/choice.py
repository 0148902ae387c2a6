"""Which of the three for you: derived from the results by a rule that the page declares, never from an opinion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.orchestrators.footprint import IDLE, IDLE_AS_SHIPPED
from benchmarks.summary.blocks import (
    TOOLS,
    Origin,
    file,
    listed,
    paragraph,
    section,
    shown,
    spread,
    table,
    terms,
    title,
)  # fmt: skip
from benchmarks.summary.data import READMES, Data
from benchmarks.summary.figures import Figure, Range, Results
from benchmarks.summary.markup import Content, Html, join, tag
from core.run import TASKS

PLAIN = "plain"

SHARE = 0.05
"""An orchestrator's own time is no reason to choose it where it is less than this share of the work."""

RULE = (
    "The tool with the smallest median is the least, and one whose range (smallest to largest round) overlaps with its "
    "range is equal. Where a question has several measures, only a tool that is least or equal in all of them is named."
)


UNWARMED = (
    "Its first build waits until dbt is warm, and that is in its seconds. The services of an orchestrator take longer "
    "to start than that, so theirs are without it. What they take beyond plain Python is therefore some tenths of a "
    "second a month more than shown. The benchmark now waits for dbt before the clock starts; these results are older."
)
"""What is wrong with results of a backfill that do not say that dbt was warm."""

ISOLATIONS: Mapping[str, str] = {
    "process per task": "each task is a process of its own, forked from one that has imported what the task needs",
    "interpreter per task": "each task is a new Python, which imports everything by itself",
    "process per run": "each run is a process, and its tasks are calls in it: one that crashes takes the run with it",
    "process pool per run": "each run starts some processes, and sends its tasks to them",
}
"""What each kind of isolation means."""


@dataclass(frozen=True)
class Measure:
    """What is compared, and the range of each orchestrator; less is better."""

    words: str
    ranges: Mapping[str, Range]
    zero: Range | None = None
    """The same of plain Python, which is not ranked."""

    def leaders(self) -> list[str]:
        """Return the one with the smallest median, first, and those whose range overlaps with its range."""
        ordered = sorted(self.ranges, key=lambda name: self.ranges[name].median.value)
        best = self.ranges[ordered[0]]
        return [name for name in ordered if name == ordered[0] or self.ranges[name].low.value <= best.high.value]

    def line(self, tools: Sequence[str]) -> list[Content]:
        """Return the line of the table: the zero line, then each tool, with a mark at those that lead."""
        return [self.words, spread(self.zero, _mark("")), *(self._cell(name) for name in tools)]

    def _cell(self, name: str) -> Html:
        leaders = self.leaders() if len(self.ranges) > 1 else []
        word = "" if name not in leaders else "least" if name == leaders[0] else "equal"
        return spread(self.ranges.get(name), _mark(word))


def _mark(word: str) -> Html:
    """Return a mark, which is as wide without a word as with one: so digits stay in line."""
    return tag("b", word and f" {word}", class_="mark")


def leading(measures: Sequence[Measure]) -> list[str]:
    """Return those that lead in every measure, in the order of the first."""
    return [name for name in measures[0].leaders() if all(name in each.leaders() for each in measures)]


def choice(data: Data) -> Html | None:
    """Return the section; None when the backfill was not measured, or not on at least two orchestrators."""
    backfill = data.get("backfill")
    if backfill is None or len(_tools(backfill)) < 2:
        return None
    chains = data.get("chains")
    footprint = data.get("footprint")
    runs, load, tasks = _runs(backfill), _load(backfill), _tasks(chains)
    machine, empty = _machine(backfill, footprint), _empty(data.get("floor"))
    extra = _extra(load, backfill.rows[0]["months"])
    cards = [
        _chained(tasks), _small(runs, empty, backfill, has_chains=bool(tasks)), _new(load, backfill, extra),
        _heavy(extra, backfill), _small_machine(machine),
    ]  # fmt: skip
    shipped = _idle(footprint, IDLE_AS_SHIPPED, " as shipped")
    files = (backfill, data.get("floor"), chains, footprint)
    return section(
        "choice",
        "Which of the three for you",
        _caveat(data, has_idle=bool(shipped)),
        _conditions(backfill),
        terms(_terms(data)),
        tag("div", *cards, class_="cards"),
        _summary(_tools(backfill), [runs, *filter(None, [empty]), *tasks.values(), load], extra, [*machine, *shipped]),
        paragraph(tag("strong", "The rule. "), RULE),
        None if backfill.has("dbt") else paragraph(tag("strong", "Plain Python is too slow here. "), UNWARMED),
        _configured(data),
        Origin("make bench-tools", "83 minutes", [each for each in files if each]).line(),
    )


def _terms(data: Data) -> Mapping[str, Content]:
    """Return the words that this section, and the page below it, take as known."""
    floor, chains = data.get("floor"), data.get("chains")
    listed_below = join([", which are listed under ", tag("a", "the floor", href="#floor")]) if floor else None
    kinds = chains.names("isolation", chain="light") if chains else []
    return {
        "month": "one file of trips, and one run: a month that fails is repeated alone",
        "tuned": join(["the settings of this project's adapter", listed_below]),
        "as shipped": "every default of the orchestrator for what the adapter changes for speed",
        "floor": "what a month costs when its steps do nothing, so all of it is the orchestrator's own",
        **{kind: words for kind, words in ISOLATIONS.items() if kind in kinds},
    }


def _caveat(data: Data, *, has_idle: bool) -> Html:
    """Say under which settings the ranking holds: a ranking without them says nothing."""
    if data.get("floor") is None:
        return paragraph(tag("strong", "Tuned settings; as shipped they were not measured."))
    link = tag("a", "what they cost as shipped is below", href="#floor")
    unmeasured = None if has_idle else " Idle services were watched with tuned settings only."
    return paragraph(tag("strong", "Tuned settings; ", link, "."), unmeasured)


def _conditions(backfill: Results) -> Html:
    names = [f"{title(tool)} {version}" for tool in TOOLS if (version := backfill.content["versions"].get(tool))]
    readmes = [file(READMES[tool], title(tool)) for tool in TOOLS]
    return paragraph(
        f"{listed(names) or 'All'} on one machine. A backfill runs the pipeline for a range of months: here each month "
        "is one run, and two run at a time, also with plain Python. The README of each adapter names every setting "
        "with its reason: ", join(readmes, ", "), "."
    )  # fmt: skip


def _tools(results: Results) -> list[str]:
    return [name for name in results.names("orchestrator") if name in TOOLS]


def _measure(words: str, results: Results, key: str, turn: str) -> Measure:
    """Return a measure of one turn of the backfill."""
    return _rows(words, results, key, turn=turn)


def _rows(words: str, results: Results, key: str, **conditions: str) -> Measure:
    """Return a measure of those rows of some results that meet conditions."""
    found = {name: results.of(orchestrator=name, **conditions) for name in [PLAIN, *_tools(results)]}
    return _split(words, {name: rows.range(key) for name, rows in found.items() if rows})


def _split(words: str, ranges: Mapping[str, Range]) -> Measure:
    return Measure(words, {name: found for name, found in ranges.items() if name in TOOLS}, ranges.get(PLAIN))


def _per(measure: Measure, words: str, number: float) -> Measure:
    """Return a measure divided by a number."""
    zero = measure.zero / number if measure.zero else None
    return Measure(words, {name: found / number for name, found in measure.ranges.items()}, zero)


def _runs(backfill: Results) -> Measure:
    """Many small runs: what a run costs that finds nothing to do."""
    months = backfill.rows[0]["months"]
    words = f"Many small runs: seconds per run (wall time / {months}, two at a time)"
    return _per(_measure("", backfill, "wall_s", "unchanged"), words, months)


def _empty(floor: Results | None) -> Measure | None:
    """Many small runs whose steps are empty: what is left of them is the orchestrator's own, and all of it."""
    if floor is None:
        return None
    months = max(floor.names("months", settings="shipped"))
    found = {name: floor.of(orchestrator=name, settings="tuned", months=months) for name in _tools(floor)}
    words = f"The same with empty steps: seconds per run (wall time / {months})"
    return _per(_split("", {name: rows.range("wall_s") for name, rows in found.items() if rows}), words, months)


def _load(backfill: Results) -> Measure:
    """New months: the whole backfill."""
    months, rows = backfill.rows[0]["months"], backfill.content["rows_a_month"]
    return _measure(f"{months} new months of {rows:,} rows: seconds", backfill, "wall_s", "load")


def _tasks(chains: Results | None) -> dict[str, Measure]:
    """Many small tasks in one run: the chain of light ones, within each class of isolation that a tool offers."""
    isolations = chains.names("isolation", chain="light") if chains else []
    return {each: found for each in isolations if chains and (found := _task(chains, each)).ranges}


def _task(chains: Results, isolation: str) -> Measure:
    names = chains.names("orchestrator", chain="light", isolation=isolation)
    found = {name: chains.of(chain="light", isolation=isolation, orchestrator=name) for name in names}
    tasks = next(iter(found.values())).rows[0]["tasks"]
    ranges = {PLAIN if name == "python" else name: rows.range("run_s") / float(tasks) for name, rows in found.items()}
    return _split(f"{tasks} tasks in one run, {isolation}: seconds per task (run time / {tasks})", ranges)


def _machine(backfill: Results, footprint: Results | None) -> list[Measure]:
    """One small machine: what the services hold and use while they idle, and what a backfill needs."""
    measures = [
        *_idle(footprint, IDLE),
        _measure("A backfill: peak memory of services and runs, MB", backfill, "peak_mb", "load"),
        _measure("Start of the services: seconds", backfill, "wall_s", "start"),
    ]
    return [each for each in measures if len(each.ranges) > 1]


def _idle(footprint: Results | None, what: str, words: str = "") -> list[Measure]:
    """Return what idle services hold and use; nothing of settings with which they were not watched."""
    if footprint is None or not footprint.of(what=what):
        return []
    return [
        _rows(f"Idle services{words}: memory, MB", footprint, "peak_mb", what=what),
        _share(_rows(f"Idle services{words}: % of a core", footprint, "cpu_s", what=what), footprint.value("idle_s")),
    ]


def _share(measure: Measure, seconds: Figure) -> Measure:
    return Measure(measure.words, {name: found * 100 / seconds for name, found in measure.ranges.items()})


def _extra(load: Measure, months: int) -> dict[str, Figure]:
    """Return the seconds a month that each orchestrator takes beyond the zero line; nothing without that."""
    if load.zero is None:
        return {}
    return {name: (found.median - load.zero.median) / months for name, found in load.ranges.items()}


def _summary(
    tools: Sequence[str], before: Sequence[Measure], extra: Mapping[str, Figure], after: Sequence[Measure]
) -> Html:
    """Return the table of all questions."""
    lines = [measure.line(tools) for measure in before]
    if extra:
        lines += [_derived(words, extra, factor, tools) for words, factor in (
            ("Beyond plain Python: seconds per month", 1.0),
            (f"Work per month for overhead below {SHARE:.0%}, s", 1 / SHARE))]  # fmt: skip
    lines += [measure.line(tools) for measure in after]
    caption = ("Medians, with the smallest and the largest round in brackets. least = smallest median, equal = its "
               "range overlaps with that one's. Plain Python is the zero line, and is not ranked.")  # fmt: skip
    return table(["", *map(title, [PLAIN, *tools])], lines, caption)


def _derived(words: str, extra: Mapping[str, Figure], factor: float, tools: Sequence[str]) -> list[Content]:
    """Return a line of figures that are made of medians, and so have no range to be ranked by."""
    found = {name: figure if factor == 1 else figure * factor for name, figure in extra.items()}
    return [words, join(["-", _mark("")]), *(join([shown(found.get(name)), _mark("")]) for name in tools)]


def _verdict(measures: Sequence[Measure], least: str) -> Html:
    """Return the sentence that answers, by the rule."""
    names = [title(name) for name in leading(measures)]
    if len(names) == 1:
        return tag("p", tag("strong", names[0]), f" {least}.", class_="verdict")
    if names:
        return tag(
            "p",
            tag("strong", listed(names)),
            f": a tie on who {least}, because their ranges overlap.",
            class_="verdict",
        )
    return tag("p", tag("strong", "None of them"), f" {least} on every measure.", class_="verdict")


def _costs(before: str, found: Mapping[str, Figure], notes: Mapping[str, str] = {}) -> Html:
    """Return a sentence with what each orchestrator costs, the cheapest first, perhaps with a note behind each."""
    closing = ")" * before.count("(")
    ordered = sorted(found, key=lambda name: found[name].value)
    parts = [
        join(
            [
                tag("span", before, shown(found[name]), f" s{closing}", class_="whole"),
                f" on {title(name)}{notes.get(name, '')}",
            ]
        )
        for name in ordered
    ]
    return paragraph("They take about ", join(parts, "; "), ".")


def _medians(measure: Measure) -> dict[str, Figure]:
    return {name: found.median for name, found in measure.ranges.items()}


def _card(name: str, heading: str, *contents: Content) -> Html:
    return tag("div", tag("h3", heading), *contents, class_="card", id=name)


def _small(runs: Measure, empty: Measure | None, backfill: Results, *, has_chains: bool) -> Html:
    months = backfill.rows[0]["months"]
    link = join([" What a task costs is in ", tag("a", "the chains", href="#chains"), "."])
    return _card(
        "choice-small",
        "N small runs",
        _verdict([runs], "takes the least time per run that finds nothing to do"),
        _costs("N × ", _medians(runs)),
        _verdict([empty], "takes the least time per run whose steps are empty") if empty else None,
        _costs("N × ", _medians(empty)) if empty else None,
        paragraph(f"Measured: {months} runs of {len(TASKS)} steps each. A step that finds nothing to do still imports "
                  "the pipeline, and asks the file and the database.", link if has_chains else
                  " What a task costs in a run of many tasks was not measured."),
    )  # fmt: skip


def _chained(tasks: Mapping[str, Measure]) -> Html | None:
    verdicts = [
        _verdict([each], f"takes the least time per task ({isolation})")
        for isolation, each in tasks.items()
        if len(each.ranges) > 1
    ]
    if not verdicts:
        return None
    note = (
        "Measured: tasks that do next to nothing, one after the other. These are the cheapest kinds of isolation that "
        "each of them offers. What a kind protects from differs, so compare within one where that matters."
    )
    return _card("choice-chained", "N small tasks in one run", *verdicts, _cheapest(tasks), paragraph(note))


def _cheapest(tasks: Mapping[str, Measure]) -> Html:
    """Return what a task costs on each orchestrator in the kind of isolation in which it costs least."""
    kinds = {
        name: min((kind for kind in tasks if name in tasks[kind].ranges), key=lambda kind: _s(tasks[kind], name).value)
        for name in TOOLS
        if any(name in each.ranges for each in tasks.values())
    }
    found = {name: _s(tasks[kind], name) for name, kind in kinds.items()}
    return _costs("N × ", found, {name: f" ({kind})" for name, kind in kinds.items()})


def _s(measure: Measure, name: str) -> Figure:
    return measure.ranges[name].median


def _new(load: Measure, backfill: Results, extra: Mapping[str, Figure]) -> Html:
    rows, months = f"{backfill.content['rows_a_month']:,}", backfill.rows[0]["months"]
    note = (" What a load takes beyond plain Python can be less than a backfill that finds nothing to do: the work of "
            "one month overlaps with the start of the next one.")  # fmt: skip
    return _card(
        "choice-new",
        f"M new months of {rows} rows",
        _verdict([load], "is fastest"),
        _costs("M × ", {name: found / months for name, found in _medians(load).items()}),
        paragraph(f"Measured: {months} of them, each fetched, loaded, transformed and checked.",
                  note if extra else None),
    )  # fmt: skip


def _heavy(extra: Mapping[str, Figure], backfill: Results) -> Html | None:
    """Few heavy months: from how much work on the orchestrators' own time is a small share of all of them."""
    if not extra:
        return None
    most = max(extra.values(), key=lambda figure: figure.value) / SHARE
    rows = backfill.content["rows_a_month"]
    return _card(
        "choice-heavy",
        "M heavy months",
        tag("p", "Above ", tag("strong", shown(most), " s"), f" of work per month, the overhead of each is below "
            f"{SHARE:.0%}: choose on other grounds.", class_="verdict"),
        _costs("M × (work + ", extra),
        paragraph(f"Work is what a month takes with plain Python, two at a time. No month of more than {rows:,} rows "
                  "was run: this supposes that a heavier one has the same overhead."),
    )  # fmt: skip


def _small_machine(measures: Sequence[Measure]) -> Html | None:
    if not measures:
        return None
    memory = [each for each in measures if each.words.endswith("MB")]
    held = {name: found.median for name, found in memory[-1].ranges.items()} if memory else {}
    peaks = [
        join([shown(figure), f" MB on {title(name)}"])
        for name, figure in sorted(held.items(), key=lambda it: it[1].value)
    ]
    groups = {
        "takes the least memory": memory,
        "takes the least processor and time to start": [each for each in measures if each not in memory],
    }
    return _card(
        "choice-machine",
        "One small machine",
        *(_verdict(some, words) for words, some in groups.items() if some),
        paragraph("A backfill holds at most ", join(peaks, "; "), ".") if peaks else None,
        paragraph(
            "Measured: memory of idle services and at the peak of a backfill, without PostgreSQL and dbt; "
            "processor of idle services, with PostgreSQL; the start of the services."
        ),
    )


def _configured(data: Data) -> Html | None:
    """Return how each orchestrator is set up here, as the READMEs of the adapters declare it."""
    found = {tool: data.configured(tool) for tool in TOOLS}
    parts = list(dict.fromkeys(part for each in found.values() for part in each))
    if not parts:
        return None
    lines = [[part, *(found[tool].get(part, "-") for tool in TOOLS)] for part in parts]
    caption = "How each is configured here; its README has the whole list"
    content = table(["", *map(title, TOOLS)], lines, caption, words=True)
    return tag("details", tag("summary", "Show executor, metadata database and processes of each"), content)
