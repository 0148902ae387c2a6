"""How runs look on the screen."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from core.errors import printable
from core.lab.blocks import COLORS
from core.lab.display import columns
from core.lab.loads import Load, Loads
from core.lab.protocol import RunRecord
from core.month import spans
from core.run import counted


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


def loads_table(loads: Iterable[Load]) -> Table:
    """Return one row per publication, with the state of its run, and the address of the run's page or else its id."""
    table = columns(
        "schema", "dataset", "month", "loaded at (UTC)", "rows", "bytes", "source sha256", "load", "loader", "cause",
        "run", "attempts", "seconds", "page or id of the run",
    )  # fmt: skip
    for load in loads:
        entry, run, step = load.entry, load.run, load.step
        cells = [
            load.schema, entry.dataset, load.month or "-", _utc(entry.loaded_at), f"{entry.row_count:,}",
            f"{entry.source_bytes:,}", entry.source_sha256[:12], "current" if load.is_current else "replaced",
            entry.loader, run.cause if run else "-",
        ]  # fmt: skip
        state = Text(run.state, COLORS.get(run.state, "dim")) if run else Text("unknown", "dim")
        attempts, seconds = str(step.attempts) if step else "-", _seconds(run.started_at, run.ended_at) if run else "-"
        page = (run.url if run else None) or entry.run_id or "-"
        table.add_row(*map(printable, cells), state, attempts, seconds, printable(page))
    return table


def loads_lines(found: Loads) -> Iterable[str]:
    """Return what the table of loads does not show: months without one, runs that are unknown or loaded nothing."""
    if found.missing:
        yield f"no load of {spans(found.missing)}"
    unknown = Counter((load.entry.loader, load.unknown) for load in found.loads if load.unknown)
    yield from (f"{loader}: {why} ({counted(number, 'load')})" for (loader, why), number in unknown.items())
    idle: dict[str, list[RunRecord]] = {}
    for run in found.idle:
        idle.setdefault(run.orchestrator, []).append(run)
    for name, runs in idle.items():
        ended = ", ".join(f"{number} {state}" for state, number in Counter(run.state for run in runs).items())
        months = spans({str(run.partition) for run in runs})
        yield f"{name}: {counted(len(runs), 'run')} of {months} loaded nothing ({ended}): `triptych runs --on {name}`"


def _detail(returned: object) -> str:
    """Return what of a step's return value fits a line: of a receipt, its state and its detail."""
    if not isinstance(returned, dict):
        return "-" if returned is None else str(returned)[:40]
    return ", ".join(str(returned[key]) for key in ("state", "detail") if key in returned) or "-"


def _utc(at: str | dt.datetime | None) -> str:
    moment = dt.datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}" if moment else "-"


def _seconds(start: str | None, end: str | None) -> str:
    if not start or not end:
        return "-"
    return f"{(dt.datetime.fromisoformat(end) - dt.datetime.fromisoformat(start)).total_seconds():.1f}"
