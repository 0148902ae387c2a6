"""How runs look on the screen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from core.errors import printable
from core.lab.blocks import COLORS
from core.lab.display import columns
from core.lab.protocol import RunRecord


def runs_table(runs: Iterable[RunRecord]) -> Table:
    """Return one row per run."""
    table = columns("created (UTC)", "orchestrator", "pipeline", "month", "cause", "state", "seconds", "run")
    for run in runs:
        cells = [_utc(run.created_at), run.orchestrator, run.pipeline, run.partition or "-", run.cause]
        state = Text(run.state, COLORS.get(run.state, "dim"))
        table.add_row(*map(printable, cells), state, _seconds(run.started_at, run.ended_at), printable(run.run_id))
    return table


def failures(runs: Iterable[RunRecord]) -> Iterable[str]:
    """Return a line for each run that failed, with its cause."""
    for run in runs:
        if run.error:
            yield f"{run.orchestrator} {run.run_id} {run.state}: {run.error}"


def run_table(run: RunRecord) -> Table:
    """Return one row per step of a run."""
    table = columns("step", "state", "attempts", "seconds", "rows", "returned")
    for task in run.tasks:
        rows = f"{task.rows:,}" if task.rows is not None else "-"
        state = Text(task.state, COLORS.get(task.state, "dim"))
        seconds = _seconds(task.started_at, task.ended_at)
        table.add_row(task.task, state, str(task.attempts), seconds, rows, printable(_detail(task.returned)))
    return table


def run_lines(run: RunRecord) -> Iterable[str]:
    """Return how the run ended, and where its page is."""
    ended = f" in {seconds} s" if (seconds := _seconds(run.started_at, run.ended_at)) != "-" else ""
    yield f"{run.orchestrator} {run.run_id}: {run.state}{ended}{f': {run.error}' if run.error else ''}"
    if run.url:
        yield run.url


def _detail(returned: object) -> str:
    """Return what of a step's return value fits a line: of a receipt, its state and its detail."""
    if not isinstance(returned, dict):
        return "-" if returned is None else str(returned)[:40]
    return ", ".join(str(returned[key]) for key in ("state", "detail") if key in returned) or "-"


def _utc(text: str | None) -> str:
    return f"{dt.datetime.fromisoformat(text).astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}" if text else "-"


def _seconds(start: str | None, end: str | None) -> str:
    if not start or not end:
        return "-"
    return f"{(dt.datetime.fromisoformat(end) - dt.datetime.fromisoformat(start)).total_seconds():.1f}"
