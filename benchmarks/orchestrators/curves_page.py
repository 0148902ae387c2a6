"""The page on what grows with tasks and runs, from the results of `benchmarks.orchestrators.curves`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.harness.markdown import header, number, table
from benchmarks.harness.measure import Row, spread
from benchmarks.orchestrators import edits_page
from benchmarks.orchestrators.curves_cells import Line, cell, lines, of, rate, select, title


def page(result: dict[str, Any]) -> str:
    """Return the whole page."""
    rows: list[Row] = result["rows"]
    return "\n".join(
        [
            header("How cost grows with tasks and runs on each orchestrator", "benchmarks/results/curves.json", result),
            "Every task computes the 10th Fibonacci number, which takes microseconds, through the orchestrator's own "
            "services with the settings of its adapter (at the end). Seconds are of the orchestrator's own times. "
            f"Medians with the smallest and the largest in brackets; what takes minutes was measured once. "
            f"Each measurement is capped at {number(result['deadline_s'])} s; an unfinished one shows how far it got, "
            "and nothing larger was tried. Compare within a kind of isolation only. The lines of Python are the same "
            "work without an orchestrator.\n",
            *_start(rows),
            *_tasks(rows),
            *_runs(rows),
            *_history(rows),
            *edits_page.part(rows),
            "## The settings that differ from those shipped\n",
            table(["setting", "as shipped", "here"], map(_setting, result["settings"]), align="---"),
        ]
    )


def _setting(each: dict[str, Any]) -> list[str]:
    return [f"`{each['name']}`", each["shipped"], each["value"]]


def _start(rows: list[Row]) -> Iterator[str]:
    yield "## From nothing to the first task\n"
    yield (
        "From the call that brings the services up, with metadata that exists and a PostgreSQL that runs, until they "
        "take work, and until the first task of the first run of three has ended.\n"
    )
    found = select(rows, "start")
    yield table(
        ["", "services up, s", "first task done, s"],
        ([title(line), *(cell(of(found, line), what) for what in ("up_s", "first_s"))] for line in lines(found)),
    )


def _tasks(rows: list[Row]) -> Iterator[str]:
    found = select(rows, "tasks")
    sizes = sorted({row["tasks"] for row in found})
    yield "## Tasks of one run\n"
    yield (
        "Independent tasks, as each orchestrator makes them from a list: a mapped task in Airflow (at most 16 at a "
        "time) and in Prefect (two threads of the run's process), a dynamic output in Dagster. A task that makes the "
        "list comes before them in Airflow and Dagster. Seconds of the run, from its creation to its end:\n"
    )
    yield table(["", *(f"{size:,}" for size in sizes)], (_sized(found, line, sizes, None) for line in lines(found)))
    yield "Milliseconds a task: the same seconds, divided by the number of tasks.\n"
    yield table(["", *(f"{size:,}" for size in sizes)], (_sized(found, line, sizes, 1000) for line in lines(found)))
    yield "Tasks a second:\n"
    yield table(["", *(f"{size:,}" for size in sizes)], (_rates(found, line, sizes) for line in lines(found)))


def _sized(rows: list[Row], line: Line, sizes: Sequence[int], factor: float | None) -> list[str]:
    """Return a line of cells, one for each number of tasks: seconds of the run, or `factor` times those of a task."""
    cells = []
    for size in sizes:
        found = [row for row in of(rows, line) if row["tasks"] == size]
        divided = [{**row, "run_s": factor * row["run_s"] / size} if factor and row["run_s"] else row for row in found]
        cells.append(cell(divided, "run_s"))
    return [title(line), *cells]


def _rates(rows: list[Row], line: Line, sizes: Sequence[int]) -> list[str]:
    found = [[row for row in of(rows, line) if row["tasks"] == size and row["run_s"]] for size in sizes]
    return [
        title(line),
        *(number(spread(rate(row) for row in some).median) if some else "-" for some in found),
    ]


def _runs(rows: list[Row]) -> Iterator[str]:
    found = select(rows, "runs")
    yield "## Many runs at once\n"
    yield (
        f"{found[0]['runs']:,} runs of three tasks, started one right after the other: from the creation of the first "
        "to the end of the last, or of the last one that ended in time. At most 16 of them run at a time in Airflow "
        "and in Dagster, and 8 in Prefect. `created`: until the last of them was created.\n"
    )
    yield table(
        ["", "s", "runs a second", "ended", "created, s"],
        ([title(line), *_of_runs(of(found, line)[-1])] for line in lines(found)),
    )


def _of_runs(row: Row) -> list[str]:
    submit_s = row.get("submit_s")
    return [
        number(row["run_s"]) if row["run_s"] else cell([row], "run_s"), number(rate(row)) if row["run_s"] else "-",
        f"{row['ended']:,} of {row['runs']:,}", "-" if submit_s is None else number(submit_s),
    ]  # fmt: skip


def _history(rows: list[Row]) -> Iterator[str]:
    found = select(rows, "history")
    yield "## With runs in the history\n"
    yield (
        "The history was filled with the cheapest runs of three tasks that there are: of empty tasks in Airflow, which "
        "its scheduler ends without a process; of calls in the process of another run in Dagster; of runs that a flow "
        "records through the API in Prefect, where a call of a flow takes a second. `run`: a run of three tasks, from "
        "its creation to its end. `list`: the newest 20 runs of all pipelines, by an outside clock, with the start of "
        "the lab's runner, some tenths of a second.\n"
    )
    sizes = ((line, size) for line in lines(found) for size in sorted({row["runs"] for row in of(found, line)}))
    yield table(
        ["", "runs in the history", "run, s", "list, s"], (_of_history(found, line, size) for line, size in sizes)
    )


def _of_history(rows: list[Row], line: Line, size: int) -> list[str]:
    found = [row for row in of(rows, line) if row["runs"] == size]
    return [
        title(line),
        f"{found[0]['there']:,}",
        cell(found, "run_s"),
        cell(found, "list_s"),
    ]
