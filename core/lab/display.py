"""What the command line shows: progress on stderr, results on stdout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from threading import Lock
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from core.errors import RETRIES, printable
from core.lab import blocks
from core.lab.blocks import COLORS, FINAL, SERVICES, Block
from core.lab.compare import Row
from core.lab.migration import Plan, Step
from core.lab.parity import Parity
from core.lab.protocol import BackfillResult, MonthRecord
from core.lab.relations import named
from core.lab.running import Running
from core.lab.scope import BY_DATE
from core.lab.state import Service
from core.ledger import Entry
from core.month import spans
from core.run import counted

# Without markup and emoji: text in brackets or between colons is a name that somebody chose, never an instruction.
out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


SHORT = 10
"""How many hex digits of a digest a table shows: the demo's four schemas fit 80 columns."""


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
    """Shows what several orchestrators do: one live block for each (`core.lab.blocks`), of which the outcome remains.

    Where no cursor can be moved (a pipe, a dumb terminal), each change of a state, and each further attempt, is a plain
    line.
    """

    def __init__(self, months: Mapping[str, Sequence[str]] = {}, clock: Callable[[], float] = time.monotonic) -> None:
        """`months` holds what each orchestrator is asked for; `clock` returns seconds."""
        self._clock = clock
        self._lock = Lock()
        self._blocks = {name: Block(name, wanted) for name, wanted in months.items()}
        self._said: dict[tuple[str, str], tuple[str | int, ...]] = {}
        # A variable such as FORCE_COLOR asks a pipe for colors: its reader still can't move a cursor.
        is_live = err.is_interactive and err.file.isatty()
        self._live = Live(console=err, get_renderable=self._group, transient=True) if is_live else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            # The terminal may be gone.
            with suppress(OSError):
                self._live.stop()
                err.print(self._group(is_over=True))

    def __call__(
        self, orchestrator: str, month: str, state: str, detail: str = "",
        *, task: str = "", attempt: int = 0, version: str = "",
    ) -> None:  # fmt: skip
        """Show that an orchestrator's month, or its ``services``, is now in `state`.

        `task` is the step under way, and `attempt` its attempt.
        """
        now = self._clock()
        # Where no cursor can be moved, a step's first attempt is not worth a line.
        step = task if self._live or attempt > 1 else ""
        detail = ", ".join(filter(None, (step, _of_all(attempt), detail)))
        with self._lock:
            block = self._blocks.setdefault(orchestrator, Block(orchestrator))
            block.version = version or block.version
            block.update(month, state, detail, now)
            seconds = block.rows[month].seconds(now) or 0.0
            news: tuple[str | int, ...] = (state, task, attempt) if attempt > 1 else (state,)
            if month == SERVICES:
                # A start takes up to a minute: each of its steps is worth a line.
                news = (state, detail)
            is_news = self._said.get((orchestrator, month), ())[: len(news)] != news
            if is_news:
                self._said[orchestrator, month] = news
        if is_news and not self._live:
            took = f"{seconds:6.1f} s" if state in FINAL else ""
            # Why a month has failed is among the lines at the end.
            shown = "" if state == "failed" and month != SERVICES else detail
            note(f"{orchestrator:<9} {month}  {state:<10}{took} {shown}".rstrip())

    def _group(self, is_over: bool = False) -> Group:
        with self._lock:
            # The cursor stands below the last line.
            return Group(*blocks.lines(list(self._blocks.values()), self._clock(), err.height - 1, is_over))


def _of_all(attempt: int) -> str:
    """Return ``attempt 2/3``; nothing for a first attempt. After a kill there may be more of them than planned."""
    planned = f"/{1 + RETRIES}" if attempt <= 1 + RETRIES else ""
    return f"attempt {attempt}{planned}" if attempt > 1 else ""


def columns(*names: str) -> Table:
    """Return an empty table with these columns, as every command shows it: without lines, two blanks apart."""
    return Table(*names, box=None, pad_edge=False, padding=(0, 2, 0, 0))


def backfill_table(results: Mapping[str, BackfillResult]) -> Table:
    """Return one row per orchestrator and month."""
    table = columns("orchestrator", "version", "month", "state", "attempts", "rows", "digest")
    for orchestrator, result in results.items():
        for record in result.months:
            color = "yellow" if record.warnings and record.state != "failed" else COLORS[record.state]
            table.add_row(
                orchestrator, result.version, record.month, Text(record.summary, color), str(record.attempts),
                f"{record.rows:,}" if record.rows is not None else "-", (record.digest or "-")[:SHORT],
            )  # fmt: skip
    return table


def backfill_lines(results: Mapping[str, BackfillResult]) -> Iterable[str]:
    """Yield one line per orchestrator, one per warning, and one per cause of a failure, with the months that it hit."""
    for orchestrator, result in results.items():
        yield f"{orchestrator}: {_outcome(result)}"
        for record in result.months:
            yield from (f"{orchestrator} {record.month} warning: {line}" for line in record.warnings)
        yield from _failures(orchestrator, result)


def _outcome(result: BackfillResult) -> str:
    """Return ``2 success, 1 failed in 3.4 s``."""
    counts = ", ".join(filter(None, (_count(result.months, state) for state in ("success", "unchanged", "failed"))))
    return f"{counts} in {result.seconds:.1f} s{' as one run' if result.mode == 'one-run' else ''}"


def _failures(orchestrator: str, result: BackfillResult) -> Iterable[str]:
    """Yield one line per cause of a failure, with the months that it hit."""
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
    table = columns("table", "rows", *map(printable, parity.schemas))
    for row in parity.rows:
        baseline = row.digests[parity.baseline]
        cells = [_cell(row, schema, parity.baseline) for schema in parity.schemas]
        table.add_row(printable(row.table), f"{baseline.rows:,}" if baseline else "-", *cells)
    return table


def _cell(row: Row, schema: str, baseline: str) -> Text:
    digest = row.digests[schema]
    if digest is None:
        kinds = {problem.kind for problem in row.problems if problem.schema == schema}
        return Text("missing" if not kinds else "other columns" if "columns" in kinds else "not compared", "red")
    if row.digests[baseline] is None:
        return Text(digest.hex[:SHORT])
    is_same = schema not in row.differing
    return Text(digest.hex[:SHORT], "green") if is_same else Text(f"{digest.hex[:SHORT]} differs", "red")


def parity_lines(parity: Parity, baseline: str) -> Iterable[str]:
    """Return what the table does not show, a line each; the verdict comes last."""
    if parity.baseline != baseline and (len(parity.schemas) > 1 or baseline in parity.absent):
        without = f"there is no schema {baseline}, the baseline: " if baseline in parity.absent else ""
        yield f"{without}compared with {named(parity.baseline)}"
    for schema in parity.absent:
        yield f"{named(schema)}: not loaded"
    if parity.whole:
        yield f"compared whole, because no column holds the month of a row: {', '.join(map(named, parity.whole))}"
    if parity.empty:
        yield f"no table has rows of {spans(parity.empty)}"
    yield from (cause.line for cause in parity.causes)
    yield from (problem.line for problem in parity.problems)
    for row in parity.rows:
        yield from (f"{named(schema, row.table)} is missing" for schema in row.missing)
    for schema, name, months in parity.lacking():
        yield f"{named(schema, name)} has no rows of {spans(months)}"
    for schema, row, months in parity.unexplained():
        yield f"{named(schema, row.table)} differs from {named(parity.baseline, row.table)}{_where(row, months)}"
    yield from map(str, parity.findings)
    if parity.verdict == "uneven" and parity.audited and BY_DATE in [row.table for row in parity.differing]:
        yield f"{BY_DATE} differs for that reason: one date has trips of several months' files"
    yield _closing(parity)


def _where(row: Row, months: list[str]) -> str:
    """Return where a table differs; the empty string in `months` stands for rows without a month."""
    parts = [spans(filter(None, months)), "rows without a month" if "" in months and row.is_by_month else ""]
    return f" in {' and '.join(filter(None, parts))}" if any(parts) else ""


def _closing(parity: Parity) -> str:
    """Return the line that says the verdict."""
    tables = counted(len(parity.rows), "table")
    common = "the months that all have loaded from the same bytes" if parity.audited else "the months that all have"
    months = f"{common}: {spans(parity.common)}" if parity.common else ""
    match parity.verdict:
        case "identical":
            return f"identical: {tables} in {len(parity.schemas)} schemas"
        case "as recorded":
            alone = f"{tables} in {named(parity.baseline)}, nothing to compare with"
            return f"as recorded: {alone}" if parity.audited else f"digests only: {alone}"
        case "uneven":
            return f"uneven: identical in {months}" if months else f"uneven: there are no {common[4:]}"
        case "not as recorded":
            return f"not as recorded: {counted(len(parity.findings), 'finding')} in {tables}"
        case "not compared":
            unread = sum(bool(row.not_compared) for row in parity.rows)
            return f"not compared: {unread} of {tables}"
        case "different":
            said = f"different: {len(parity.differing)} of {tables} in {len(parity.schemas)} schemas"
            apart = f"; {'identical' if parity.common_identical else 'different'} in {months}"
            return said + (apart if months and parity.causes else "")


def migration_step(step: Step) -> Iterable[str]:
    """Yield one line per load of a step, with the causes of what failed, or one line per comparison."""
    for load in step.loads:
        asked = f"{load.orchestrator:<9} {spans(load.months)} -> {load.schema}"
        yield f"{step.name:<9} {asked}: {_outcome(load.result)}"
        yield from _failures(load.orchestrator, load.result)
    if step.parity:
        compared = f"{counted(len(step.parity.rows), 'table')} of {' and '.join(map(named, step.parity.schemas))}"
        yield f"{step.name:<9} {compared}: {step.parity.verdict} in {step.seconds:.1f} s"


def migration_closing(plan: Plan, steps: Sequence[Step], loaded: Mapping[str, str]) -> Iterable[str]:
    """Return what a migration leaves, and then how it ended. `loaded` says who loaded each month of its schema."""
    last, took = steps[-1], sum(step.seconds for step in steps)
    held = {loader: [month for month in loaded if loaded[month] == loader] for loader in loaded.values()}
    said = ", ".join(f"{spans(months)} by {printable(loader)}" for loader, months in held.items()) or "no month"
    names = [step.name for step in steps]
    made = [plan.shadow] * ("shadow" in names) + [plan.proof] * ("baseline" in names)
    fate = "left for a look" if last.problem else "dropped"
    others = f"; {' and '.join(made)} {'is' if len(made) == 1 else 'are'} {fate}" if made else ""
    yield f"{plan.schema} holds {said}{others}"
    if last.problem:
        untouched = "" if "cut over" in names else f"; {plan.new.name} has written nothing to {plan.schema}"
        yield f"stopped at the step {last.name}: {last.problem}{untouched}"
    else:
        yield f"complete in {took:.1f} s: no month was loaded twice, and {plan.schema} equals what the baseline loads"


def status_table(services: Iterable[Service]) -> Table:
    """Return what runs, and where its web page is."""
    table = columns("name", "state", "version", "processes", "web page")
    for each in services:
        table.add_row(each.name, each.state, each.version or "-", str(each.processes or "-"), each.web or "-")
    return table


def pages_table(started: Iterable[Running]) -> Table:
    """Return the addresses of services that run."""
    table = columns("name", "version", "web page")
    for each in started:
        table.add_row(each.orchestrator, each.version, each.web or "-")
    return table


def ledger_table(entries: Mapping[str, Iterable[Entry]]) -> Table:
    """Return what is loaded, by whom, from which bytes."""
    table = columns(
        "schema", "dataset", "month", "rows", "loader", "strategy", "loaded at (UTC)", "source sha256", "digest",
        "source",
    )  # fmt: skip
    for schema, recorded in entries.items():
        for entry in recorded:
            when = f"{entry.loaded_at:%Y-%m-%d %H:%M:%S}" if entry.loaded_at else "-"
            month = f"{entry.month:%Y-%m}" if entry.month else "-"
            cells = [
                schema, entry.dataset, month, f"{entry.row_count:,}", entry.loader, entry.strategy, when,
                entry.source_sha256[:12], entry.content_digest[:SHORT], entry.source or "-",
            ]  # fmt: skip
            table.add_row(*map(printable, cells))
    return table
