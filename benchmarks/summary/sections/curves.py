"""How the cost of a task and of a run changes with their number, within each kind of isolation."""

from __future__ import annotations

from benchmarks.harness.measure import Row
from benchmarks.summary.blocks import Origin, paragraph, section, shown, table, title
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Figure, Results, Selection
from benchmarks.summary.markup import Content, Html, join, tag

Line = tuple[str, str]
"""An orchestrator, or Python alone, and its kind of isolation."""

PYTHON = "Python alone"


def curves(data: Data) -> Html | None:
    """Return the section; None without a measurement."""
    results = data.get("curves")
    if results is None:
        return None
    return section(
        "curves",
        "How cost grows with tasks and runs",
        paragraph("Tasks that do next to nothing, side by side in one run, and runs of three such tasks, started one "
                  "right after the other. Compare within a kind of isolation only. Each measurement is capped at ",
                  shown(results.value("deadline_s")), " s; where that was too short, the cell says how far it got."),
        _tasks(results),
        _runs(results),
        paragraph("The history of runs, cold starts and edited files: ", tag("code", "docs/benchmarks/curves.md"), "."),
        Origin("make bench-curves", "28 minutes", [results]).line(),
    )  # fmt: skip


def _lines(results: Results, what: str) -> list[Line]:
    """Return the lines that there are, those of a kind of isolation side by side."""
    found = dict.fromkeys((row["orchestrator"], row["isolation"]) for row in results.of(what=what).rows)
    return sorted(found, key=lambda line: line[1])


def _head(line: Line) -> str:
    name, isolation = line
    return f"{PYTHON if name == 'python' else title(name)}, {isolation}"


def _tasks(results: Results) -> Html:
    sizes = sorted(results.names("tasks", what="tasks"))
    lines = [
        [_head(line), *(_task(results.of(orchestrator=line[0], isolation=line[1], what="tasks", tasks=size), results,
                              line, size) for size in sizes)]
        for line in _lines(results, "tasks")
    ]  # fmt: skip
    caption = "Milliseconds a task, by the number of tasks in one run (run time / tasks)"
    return table(["", *(f"{size:,}" for size in sizes)], lines, caption)


def _task(all_rows: Selection, results: Results, line: Line, size: int) -> Content:
    if not all_rows:
        return "-"
    ended = results.of(orchestrator=line[0], isolation=line[1], what="tasks", tasks=size, state="ended")
    if ended:
        return shown(ended.median("run_s") * (1000 / size))
    return join([shown(_count(results, all_rows.rows[0], "ended")), tag("small", " ended")])


def _count(results: Results, row: Row, key: str) -> Figure:
    """Return a count of one row, with all its digits."""
    return results.value("rows", results.rows.index(row), key, whole=True)


def _runs(results: Results) -> Html:
    lines: list[list[Content]] = []
    for line in _lines(results, "runs"):
        rows = results.of(orchestrator=line[0], isolation=line[1], what="runs")
        ended, asked = (_count(results, rows.rows[0], key) for key in ("ended", "runs"))
        rate = rows.high("ended") / rows.high("run_s")
        lines.append([_head(line), shown(rate), join([shown(ended), " of ", shown(asked)])])
    return table(["", "runs a second", "ended"], lines, "Many runs at once: how many end a second, and ended at all")
