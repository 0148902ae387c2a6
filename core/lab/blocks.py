"""What the live display shows: one block per orchestrator, its title line first and its months below.

    airflow 3.3.2           41.2 s  1/3 done, ~20 s left
      2024-01   success     19.8 s  1 warning
      2024-02   running     17.1 s  ingest_month, attempt 2/3
      2024-03   waiting

Nothing here reads a clock or knows a terminal: the caller passes the time, and the number of lines.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from rich.text import Text

from core.errors import printable

SERVICES = "services"
"""The name of the row of an orchestrator's services, which stands among its months."""

FINAL = ("success", "unchanged", "failed", "skipped", "canceled")
COLORS = {
    "success": "green", "unchanged": "cyan", "failed": "red", "canceled": "magenta", "running": "yellow",
    "starting": "yellow",
}  # fmt: skip

EVIDENCE = 8
"""How many of the months that ended last an estimate considers: the next ones will be like them."""

NEXT = 3
"""How many of the months that wait are shown when not all of them fit."""


# By identity: two months in the same state are two rows.
@dataclass(eq=False)
class Row:
    """A month of one orchestrator, or its services. Times are readings of one monotonic clock, in seconds."""

    name: str
    state: str = "waiting"
    detail: str = ""
    began: float | None = None
    """When it was first seen to run; None while it waits, and when it ended between two looks."""
    ended: float | None = None

    def update(self, state: str, detail: str, now: float) -> None:
        """Put the row into `state`; one that had ended may run again."""
        if state in FINAL:
            self.ended = now
        elif state == "waiting":
            self.began = self.ended = None
        elif self.began is None or self.ended is not None:
            self.began, self.ended = now, None
        self.state, self.detail = state, detail

    def seconds(self, now: float) -> float | None:
        """Return how long it has run, or ran; None when it was never seen to run."""
        return None if self.began is None else (now if self.ended is None else self.ended) - self.began

    def line(self, now: float) -> Text:
        """Return the row as one line."""
        state = (f"{self.state:<9}", COLORS.get(self.state, "dim"))
        took = f" {_duration(self.seconds(now)):>8}  "
        return _line(f"  {self.name:<9} ", state, (took, ""), (self.detail, ""))


class Block:
    """One orchestrator: the months that it was asked for, in this order, and its services."""

    def __init__(self, name: str, months: Iterable[str] = ()) -> None:
        self.name, self.version = name, ""
        self.began: float | None = None
        self.rows = {month: Row(month) for month in months}
        # The most months that have run at one time.
        self._peak = 1

    def update(self, name: str, state: str, detail: str, now: float) -> None:
        """Put a month, or the services, into `state`."""
        self.began = now if self.began is None else self.began
        self.rows.setdefault(name, Row(name)).update(state, detail, now)
        self._peak = max(self._peak, len(self._in("running")))

    @property
    def months(self) -> list[Row]:
        """The months, without the services."""
        return [row for row in self.rows.values() if row.name != SERVICES]

    def _in(self, *states: str) -> list[Row]:
        return [row for row in self.months if row.state in states]

    def remaining(self, now: float) -> float | None:
        """Return an estimate of how many seconds are left, or None without evidence for one.

        Each month is expected to take the median of the last `EVIDENCE` months that ended in this backfill without
        failing. Those that wait follow those that run, in as many slots as months have run at one time. There is no
        estimate before a month has ended, nor once all that is left takes longer than expected.
        """
        took = [(row.ended, row.seconds(now)) for row in self._in("success", "unchanged")]
        known = sorted((ended, seconds) for ended, seconds in took if ended is not None and seconds is not None)
        if not known:
            return None
        expected = median(seconds for _, seconds in known[-EVIDENCE:])
        slots = [max(0.0, expected - (row.seconds(now) or 0.0)) for row in self._in("running")]
        slots += [0.0] * (self._peak - len(slots))
        heapq.heapify(slots)
        for _ in self._in("waiting"):
            heapq.heapreplace(slots, slots[0] + expected)
        return max(slots) or None

    def title(self, now: float, is_over: bool) -> Text:
        """Return the title line: name, version, elapsed time, and how many months are done.

        Then follows the estimate of what is left or, when all `is_over`, how many months failed or were unchanged.
        """
        ended, failed, months = self._in(*FINAL), self._in("failed"), self.months
        if self.rows and all(row.ended is not None for row in self.rows.values()):
            now = max(row.ended or 0.0 for row in self.rows.values())
        elapsed = _duration(None if self.began is None else now - self.began)
        line = _line("", (f"{f'{self.name} {self.version}':<21}", "bold"), (f" {elapsed:>8}  ", ""))
        if months:
            color = "red" if failed else "green" if len(ended) == len(months) else ""
            line.append(f"{len(ended)}/{len(months)} done", color)
        if not is_over and (left := self.remaining(now)) is not None:
            line.append(f", ~{_about(left)} left")
        if is_over and (others := [*failed, *self._in("unchanged")]):
            line.append(", ").append_text(_counts(others))
        return line

    def listed(self, is_over: bool) -> list[Row]:
        """Return the rows that are worth a line: all but services that are up; when all `is_over`, what failed."""
        months = self._in("failed") if is_over else self.months
        services = [row for row in self.rows.values() if row.name == SERVICES]
        return [row for row in services if not self.months or (row.state != "success" and not is_over)] + months

    def ranked(self) -> list[tuple[int, int, Row]]:
        """Return the rows that matter most when there is little room, each after its rank."""
        active = [row for row in self.rows.values() if row.state in ("starting", "running")]
        groups = (active, self._in("failed"), self._in("waiting")[:NEXT])
        return [(rank, place, row) for rank, group in enumerate(groups) for place, row in enumerate(group)]


def lines(blocks: Sequence[Block], now: float, height: int, is_over: bool = False) -> list[Text]:
    """Return the blocks as at most `height` lines, but at least their titles.

    When not all rows fit, those that run come first, then those that failed, then the `NEXT` that wait; each block
    counts the rest of its rows.
    """
    shown = {row for block in blocks for row in block.listed(is_over)}
    if len(blocks) + len(shown) > height:
        # Each block has a title, and a line for the rest.
        room = height - 2 * len(blocks)
        if room < 0:
            return [block.title(now, is_over) for block in blocks]
        ranked = sorted((each for block in blocks for each in block.ranked()), key=lambda each: each[:2])
        shown = set([row for *_, row in ranked if row in shown][:room])
    return [line for block in blocks for line in _lines(block, shown, now, is_over)]


def _lines(block: Block, shown: set[Row], now: float, is_over: bool) -> list[Text]:
    listed = block.listed(is_over)
    rest = [row for row in listed if row not in shown]
    last = [_line("  and ").append_text(_counts(rest))] if rest else []
    return [block.title(now, is_over), *(row.line(now) for row in listed if row in shown), *last]


def _line(text: str, *more: tuple[str, str]) -> Text:
    """Return one line of text and of further parts with their styles, which a narrow terminal cuts off, not wraps."""
    parts = [(printable(part), style) for part, style in ((text, ""), *more)]
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _counts(rows: Iterable[Row]) -> Text:
    """Return how many rows are in each state, as in ``40 waiting, 2 success``."""
    counted = Counter(row.state for row in rows)
    return Text(", ").join(
        Text(f"{number} {printable(state)}", COLORS.get(state, "")) for state, number in counted.items()
    )


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m {rest:02}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02}m"


def _about(seconds: float) -> str:
    """Return a time that is not known exactly: 5 s are the smallest unit."""
    return f"{max(5, 5 * round(seconds / 5))} s" if seconds < 90 else _minutes(round(seconds / 60))


def _minutes(minutes: int) -> str:
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
