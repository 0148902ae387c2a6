"""How the cost of a task and of a run changes with their number, within each kind of isolation."""

from __future__ import annotations

from benchmarks.harness.measure import Row
from benchmarks.orchestrators.curves_cells import Line, lines
from benchmarks.summary.blocks import Origin, file, paragraph, section, shown, table, title
from benchmarks.summary.data import Data
from benchmarks.summary.figures import Figure, Results
from benchmarks.summary.markup import Content, Html, join, tag

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
        paragraph("The history of runs, cold starts and edited files: ", file("docs/benchmarks/curves.md"), "."),
        Origin("make bench-curves", "24 minutes", [results]).line(),
    )  # fmt: skip


def _head(line: Line) -> str:
    name, isolation = line
    return f"{PYTHON if name == 'python' else title(name)}, {isolation}"


def _tasks(results: Results) -> Html:
    sizes = sorted(results.names("tasks", what="tasks"))
    found = [
        [_head(line), *(_task(results, line, size) for size in sizes)] for line in lines(results.of(what="tasks").rows)
    ]
    caption = "Milliseconds a task, by the number of tasks in one run (run time / tasks)"
    return table(["", *(f"{size:,}" for size in sizes)], found, caption)


def _task(results: Results, line: Line, size: int) -> Content:
    """Return what a task costs in a run of so many; how many ended in time, where that is not all of them."""
    asked = {"orchestrator": line[0], "isolation": line[1], "what": "tasks", "tasks": size}
    if ended := results.of(**asked, state="ended"):
        return shown(ended.median("run_s") * (1000 / size))
    if not (rows := results.of(**asked).rows):
        return "-"
    return join([shown(_count(results, rows[0], "ended")), tag("small", " ended")])


def _count(results: Results, row: Row, key: str) -> Figure:
    """Return a count of one row, with all its digits."""
    return results.value("rows", results.rows.index(row), key, whole=True)


def _runs(results: Results) -> Html:
    found: list[list[Content]] = []
    for line in lines(results.of(what="runs").rows):
        rows = results.of(orchestrator=line[0], isolation=line[1], what="runs")
        ended, asked = (_count(results, rows.rows[0], key) for key in ("ended", "runs"))
        rate = rows.high("ended") / rows.high("run_s")
        found.append([_head(line), shown(rate), join([shown(ended), " of ", shown(asked)])])
    return table(["", "runs a second", "ended"], found, "Many runs at once: how many end a second, and ended at all")
