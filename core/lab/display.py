"""What the command line shows: progress on stderr, results on stdout."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from core.digest import Digest
from core.errors import printable
from core.lab.parity import Parity
from core.lab.protocol import BackfillResult, MonthRecord
from core.lab.state import Service
from core.ledger import Entry
from core.month import spans
from core.run import counted

# Without markup and emoji: text in brackets or between colons is a name that somebody chose, never an instruction.
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

COLOURS = {"success": "green", "unchanged": "cyan", "failed": "red", "running": "yellow"}
FINAL = {"success", "unchanged", "failed"}


def note(line: str) -> None:
    """Print a line on stderr; a closed terminal must not prevent the cleanup."""
    with suppress(OSError):
        err.print(Text(printable(line)))


def say(lines: Iterable[str]) -> None:
    """Print lines on stdout, as they are."""
    for line in lines:
        out.print(Text(printable(line)))


def show(table: Table) -> None:
    """Print a table on stdout at its full width: a narrower terminal breaks its lines, and nothing is cut off."""
    out.width = out.measure(table, options=out.options.update(width=1 << 12)).maximum
    out.print(table)


class Watch:
    """One live line per orchestrator and month that waits or runs; those that have ended stay printed above.

    Without a terminal, every change is a plain line.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._rows: dict[tuple[str, str], tuple[str, str, float]] = {}
        self._live = (
            Live(console=err, get_renderable=self._table, refresh_per_second=4, transient=True)
            if err.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            with suppress(OSError):
                self._live.stop()

    def __call__(self, orchestrator: str, month: str, state: str, detail: str = "") -> None:
        """Show that an orchestrator's month, or its ``services``, is now in `state`."""
        now = time.monotonic()
        with self._lock:
            since = self._rows.pop((orchestrator, month), ("", "", now))[2]
            if state not in FINAL:
                self._rows[orchestrator, month] = (state, detail, now if state == "running" else since)
        # Not under the lock: printing draws the live lines again, which takes it.
        if state in FINAL or not self._live:
            seconds = f"{now - since:6.1f} s" if state in FINAL else ""
            note(f"{orchestrator:<9} {month}  {state:<10}{seconds} {detail}".rstrip())

    def _table(self) -> Group:
        now = time.monotonic()
        with self._lock:
            lines = [
                Text.assemble(
                    f"{orchestrator:<9} {month}  ",
                    (f"{state:<10}", COLOURS.get(state, "dim")),
                    _seconds(state, now - since),
                    f" {printable(detail)}",
                )
                for (orchestrator, month), (state, detail, since) in sorted(self._rows.items())
            ]
        return Group(*lines)


def _seconds(state: str, seconds: float) -> str:
    return "" if state == "waiting" else f"{seconds:6.1f} s"


def _columns(*names: str) -> Table:
    return Table(*names, box=None, pad_edge=False, padding=(0, 2, 0, 0))


def backfill_table(results: Mapping[str, BackfillResult]) -> Table:
    """Return one row per orchestrator and month."""
    table = _columns("orchestrator", "version", "month", "state", "attempts", "rows", "digest")
    for orchestrator, result in results.items():
        for record in result.months:
            colour = "yellow" if record.warnings and record.state != "failed" else COLOURS[record.state]
            table.add_row(
                orchestrator, result.version, record.month, Text(record.summary, colour), str(record.attempts),
                f"{record.rows:,}" if record.rows is not None else "-", (record.digest or "-")[:12],
            )  # fmt: skip
    return table


def backfill_lines(results: Mapping[str, BackfillResult]) -> Iterable[str]:
    """Yield one line per orchestrator, one per warning, and one per cause of a failure, with the months that it hit."""
    for orchestrator, result in results.items():
        counts = ", ".join(filter(None, (_count(result.months, state) for state in ("success", "unchanged", "failed"))))
        yield f"{orchestrator}: {counts} in {result.seconds:.1f} s"
        for record in result.months:
            yield from (f"{orchestrator} {record.month} warning: {line}" for line in record.warnings)
        causes: dict[str | None, list[str]] = {}
        for record in result.months:
            if record.state == "failed":
                causes.setdefault(record.error, []).append(record.month)
        for cause, months in causes.items():
            # Most errors of the pipeline begin with the month.
            yield f"{orchestrator} {spans(months)} failed: {(cause or '').removeprefix(f'{months[0]}: ')}"


def _count(months: Iterable[MonthRecord], state: str) -> str:
    """Return ``2 success (1 with warnings)``; an empty string when no month is in `state`."""
    counted = [record for record in months if record.state == state]
    warned = sum(bool(record.warnings) for record in counted)
    return f"{len(counted)} {state}{f' ({warned} with warnings)' if warned else ''}" if counted else ""


def parity_table(parity: Parity) -> Table:
    """Return one row per table and one column per schema, the baseline first."""
    table = _columns("table", "rows", *map(printable, parity.schemas))
    for row in parity.rows:
        baseline = row.digests[parity.baseline]
        cells = [_cell(each, each == baseline) for each in row.digests.values()]
        table.add_row(row.table, f"{baseline.rows:,}" if baseline else "-", *cells)
    return table


def _cell(content: Digest | None, is_same: bool) -> Text:
    if content is None:
        return Text("missing", "red")
    return Text(content.hex[:12], "green") if is_same else Text(f"{content.hex[:12]} differs", "red")


def parity_lines(parity: Parity, baseline: str) -> Iterable[str]:
    """Return what the table does not show, a line each."""
    if parity.baseline != baseline and (len(parity.schemas) > 1 or baseline in parity.absent):
        without = f"there is no schema {baseline}, the baseline: " if baseline in parity.absent else ""
        yield f"{without}compared with {parity.baseline}"
    for schema in parity.absent:
        yield f"{schema}: not loaded"
    yield from (cause.line for cause in parity.causes)
    for schema, name, months in parity.unexplained():
        yield f"{schema}.{name} differs from {parity.baseline}" + (f" in {', '.join(months)}" if months else "")
    for row in parity.rows:
        if row.digests[parity.baseline] is None:
            yield f"{parity.baseline}.{row.table} is missing"
    yield from map(str, parity.findings)
    if parity.identical:
        yield f"identical: {counted(len(parity.rows), 'table')} in {len(parity.schemas)} schemas"
    elif parity.as_recorded:
        yield f"as recorded: {counted(len(parity.rows), 'table')} in {parity.baseline}, nothing to compare with"
    elif parity.causes and parity.common:
        verdict = "identical" if parity.common_identical else "different"
        yield f"{verdict} in the months that all have loaded from the same bytes: {spans(parity.common)}"


def status_table(services: Iterable[Service]) -> Table:
    """Return what runs, and where its web page is."""
    table = _columns("name", "state", "version", "processes", "web page")
    for each in services:
        table.add_row(each.name, each.state, each.version or "-", str(each.processes or "-"), each.web or "-")
    return table


def ledger_table(entries: Mapping[str, Iterable[Entry]]) -> Table:
    """Return what is loaded, by whom, from which bytes."""
    table = _columns(
        "schema", "dataset", "month", "rows", "loader", "strategy", "loaded at (UTC)", "source sha256", "digest"
    )
    for schema, recorded in entries.items():
        for entry in recorded:
            when = f"{entry.loaded_at:%Y-%m-%d %H:%M:%S}" if entry.loaded_at else "-"
            month = f"{entry.month:%Y-%m}" if entry.month else "-"
            cells = [
                schema, entry.dataset, month, f"{entry.row_count:,}", entry.loader, entry.strategy, when,
                entry.source_sha256[:12], entry.content_digest[:12],
            ]  # fmt: skip
            table.add_row(*map(printable, cells))
    return table
