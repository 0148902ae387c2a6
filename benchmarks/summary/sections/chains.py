"""Chains of tasks, one after the other: where the time of each goes."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.harness.measure import Row
from benchmarks.summary import svg
from benchmarks.summary.blocks import Origin, caption_id, chart, paragraph, section, shown, spread, table, title
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Figure, Results, Selection
from benchmarks.summary.markup import Html, join, tag

PARTS = {
    "before": "before the first task",
    "assignment": "assignment: created to started",
    "execution": "execution: started to ended",
    "transition": "transition: ended to the next created",
    "after": "after the last task",
}
"""The parts of a run, in seconds under ``<name>_s``, which add up to ``run_s``."""

COLORS = {words: f"part-{name}" for name, words in PARTS.items()}

CHAINS = {"light": "light tasks", "long": "long tasks", "short": "trivial steps"}


def chains(data: Data) -> Html | None:
    """Return the section; None without a measurement."""
    results = data.get("chains")
    if results is None:
        return None
    origin = Origin("make bench-chains", "20 minutes", [results])
    parts = [part for name in CHAINS if results.of(chain=name) for part in _chain(results, name)]
    return section(
        "chains",
        "Where the time of a task goes",
        paragraph("Tasks that strictly follow one another. Compare within a class of isolation: a forked process or a "
                  "new interpreter for each task, a process or a pool of them for each run, or none. Plain Python and "
                  "make, where listed, are the zero lines. Each line is one run, of the round with the median time, so "
                  "that its parts add up. Seconds are by the orchestrator's own clock, from the creation of the run to "
                  "its end."),
        *parts,
        origin.line(),
    )  # fmt: skip


def _chain(results: Results, name: str) -> list[Html]:
    """Return the charts of one chain: the sum of each part, and the tasks on a time line where there are times."""
    found = _cases(results, name)
    tasks = results.of(chain=name).rows[0]["tasks"]
    what = f"{tasks} {CHAINS.get(name, name)}"
    stacks = [svg.Stack(label, _parts(rows), rows.middle("run_s", "run_s")) for label, rows in found]
    caption = f"{what}: seconds, by part"
    key = f"chain-{name}"
    drawing = join([svg.legend(COLORS), svg.stacked(stacks, COLORS, caption_id(key))])
    charts = [chart(key, caption, drawing, _table(found, stacks, caption))]
    timed = [(label, rows) for label, rows in found if rows.middle_row("run_s").get("timeline")]
    if timed:
        charts.append(_time_line(f"{key}-tasks", what, timed))
    return charts


def _cases(results: Results, name: str) -> list[tuple[str, Selection]]:
    """Return the label and the rows of each orchestrator in each class of isolation, class by class."""
    return [
        (f"{title(each)}, {isolation}", results.of(chain=name, isolation=isolation, orchestrator=each))
        for isolation in results.names("isolation", chain=name)
        for each in results.names("orchestrator", chain=name, isolation=isolation)
    ]


def _parts(rows: Selection) -> dict[str, Figure]:
    return {words: rows.middle("run_s", f"{part}_s") for part, words in PARTS.items()}


def _table(found: Sequence[tuple[str, Selection]], stacks: Sequence[svg.Stack], caption: str) -> Html:
    lines = [
        [label, *map(shown, stack.parts.values()), shown(stack.total), spread(rows.range("run_s"))]
        for (label, rows), stack in zip(found, stacks, strict=True)
    ]
    return table(["", *PARTS, "this run", "all rounds, median (smallest - largest)"], lines, caption)


def _time_line(name: str, what: str, timed: Sequence[tuple[str, Selection]]) -> Html:
    strips = [svg.Strip(label, spans(rows.middle_row("run_s")), rows.middle("run_s", "run_s")) for label, rows in timed]
    caption = f"{what} on a time line: seconds since the run was created"
    drawing = join([svg.legend(COLORS), svg.time_lines(strips, caption_id(name))])
    return chart(name, caption, drawing, _times(timed, caption))


def spans(row: Row) -> dict[str, list[tuple[float, float]]]:
    """Return from when to when a run was in each part, by the color of the part."""
    timeline = row["timeline"]
    created, started, ended = ([float(task[column]) for task in timeline] for column in range(3))
    return {
        "part-before": [(0.0, created[0])],
        "part-assignment": list(zip(created, started, strict=True)),
        "part-execution": list(zip(started, ended, strict=True)),
        "part-transition": list(zip(ended, created[1:], strict=False)),
        "part-after": [(ended[-1], float(row["run_s"]))],
    }


def _times(timed: Sequence[tuple[str, Selection]], caption: str) -> Html:
    """Return when the first and the last task of each line were created, started and ended."""
    lines = [
        [label, *(tag("span", f"{float(task[column]):.2f}") for task in (first, last) for column in range(3))]
        for label, rows in timed
        for first, last in [(rows.middle_row("run_s")["timeline"][0], rows.middle_row("run_s")["timeline"][-1])]
    ]
    moments = ["created", "started", "ended"]
    return table(["", *(f"{which} {each}" for which in ("first", "last") for each in moments)], lines, caption)
