"""Where the seconds of a month go, what each role costs, and what is asked of the metadata database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmarks.orchestrators.role_meters import cpu_key, peak_key
from benchmarks.orchestrators.roles import ROLES
from benchmarks.orchestrators.stages import STAGES, TASKS
from benchmarks.summary import svg
from benchmarks.summary.blocks import (
    Origin,
    caption_id,
    chart,
    paragraph,
    section,
    shown,
    spread,
    table,
    title,
)  # fmt: skip
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Figure, Results, Selection
from benchmarks.summary.markup import Html, join, tag
from benchmarks.summary.sections.costs import COMMAND, TAKES

WORDS = {
    "next": "next: slot free, run not created",
    "queued": "queued: created, not launched",
    "start": "start of processes, imports",
    "steps": "steps",
    "hand_over": "hand-over between steps",
    "end": "end: last step to end of run",
}
"""What each stage is called in a legend."""

_CLASSES = ("part-before", "part-queued", "part-assignment", "part-execution", "part-transition", "part-after")

COLORS = {WORDS[stage]: name for stage, name in zip(STAGES, _CLASSES, strict=True)}

TURNS = {"load": "New months", "unchanged": "The same months again, nothing new"}


def months(data: Data) -> Html | None:
    """Return the section; None without a measurement that has it."""
    results = data.get("backfill")
    if results is None or not has_stages(results):
        return None
    return section(
        "months",
        "Where the seconds of a month go",
        paragraph("By the orchestrator's own records, from the moment at which a slot for a month is free to the end "
                  "of the month's run. A bar is the mean month of the median round, so its parts add up. Two months "
                  "run side by side. Where each task is a process (Airflow), its "
                  "start counts as the start of a process too, and what it imports is in the steps."),
        *(_stages(results, turn, caption) for turn, caption in TURNS.items()),
        _tasks(results),
        paragraph(tag("b", "run"), " is all that begins below the service that starts runs: workers, runs and tasks. ",
                  tag("b", "lab"), " is this benchmark with its calls. Statements are those that PostgreSQL executed "
                  "in the orchestrator's own database (", tag("code", "pg_stat_statements"), "), BEGIN and COMMIT, "
                  "polls and heartbeats included; KB are the growth of that database with its indexes."),
        _roles(results, "New months: CPU seconds by role", cpu_key),
        _roles(results, "New months: peak memory by role, MB", peak_key),
        _metadata(results),
        Origin(COMMAND, TAKES, [results]).line(),
    )  # fmt: skip


def has_stages(results: Results) -> bool:
    """Return whether the results are of a version of the benchmark that measured all of this."""
    return any("month_s" in row for row in results.rows)


def lines(results: Results, turn: str) -> Iterator[tuple[str, Selection]]:
    """Yield each orchestrator with its rows of a turn."""
    for name in results.names("orchestrator"):
        if rows := results.of(orchestrator=name, turn=turn):
            yield name, rows


def stacks(results: Results, turn: str, suffix: str = "") -> list[svg.Stack]:
    """Return the bar of each orchestrator in a turn."""
    return [
        svg.Stack(
            title(name) + suffix,
            {WORDS[stage]: rows.middle("month_s", f"{stage}_s") for stage in STAGES},
            rows.middle("month_s", "month_s"),
        )
        for name, rows in lines(results, turn)
    ]


def _stages(results: Results, turn: str, words: str) -> Html:
    name, caption = f"{turn}-stages", f"{words}: seconds of a month, by stage"
    drawn = stacks(results, turn)
    rows = [
        [stack.label, *map(shown, stack.parts.values()), shown(stack.total), spread(found.range("month_s"))]
        for stack, (_, found) in zip(drawn, lines(results, turn), strict=True)
    ]
    head = ["", *STAGES, "this round", "all rounds, median (smallest - largest)"]
    drawing = join([svg.legend(COLORS), svg.stacked(drawn, COLORS, caption_id(name))])
    return chart(name, caption, drawing, table([each.replace("_", "-") for each in head], rows, caption))


def _tasks(results: Results) -> Html:
    rows = [
        [title(name), *(shown(found.middle("month_s", f"{task}_s")) for task in TASKS)]
        for name, found in lines(results, "load")
    ]
    return table(["", *TASKS], rows, "New months: seconds of each step of a month; two at a time count once")


def _roles(results: Results, caption: str, key: Callable[[str], str]) -> Html:
    found = dict(lines(results, "load"))
    used = [role for role in ROLES if any(key(role) in row for rows in found.values() for row in rows.rows)]
    body = [[role, *(_median(rows, key(role)) for rows in found.values())] for role in used]
    return table(["", *map(title, found)], body, caption)


def _metadata(results: Results) -> Html:
    count = results.rows[0]["months"]
    names = list(dict(lines(results, "load")))
    body = [
        [f"{what}, {words}", *(_median(rows, key, count) for _, rows in lines(results, turn))]
        for turn, words in (("load", "new"), ("unchanged", "unchanged"))
        for key, what in (("statements", "statements"), ("metadata_rows", "rows"), ("metadata_kb", "KB"))
    ]
    return table(["", *map(title, names)], body, "The metadata database: what a month adds")


def _median(rows: Selection, key: str, divisor: float = 1) -> Html:
    figure: Figure | None = rows.median(key) if any(key in row for row in rows.rows) else None
    return shown(figure / divisor if figure and divisor != 1 else figure)


def pictured(results: Results) -> Sequence[svg.Stack]:
    """Return the bars of all turns, for a page that has one picture."""
    return [bar for turn in TURNS for bar in stacks(results, turn, f", {turn}")]
