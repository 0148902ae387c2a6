"""The partition: the month of the source file, written ``YYYY-MM``."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from core.errors import UsageError

# Not \d, which matches the digits of every script
_FORM = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")

EARLIEST = "2013-08"
"""The first month for which the publisher has a green-taxi file: the start of every orchestrator's partitions."""


@dataclass(frozen=True, order=True)
class Month:
    """A calendar month. Months sort by time, and print as ``YYYY-MM``."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str, earliest: str = EARLIEST) -> Month:
        """Return the month of a text ``YYYY-MM``; raise `UsageError` for other text, or before `earliest`."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} is not a month: write it YYYY-MM, as in 2024-01")
        if text < earliest:
            what = ", the first month of green-taxi data" if earliest == EARLIEST else ""
            raise UsageError(f"{text} is before {earliest}{what}")
        return cls(int(match[1]), int(match[2]))

    @property
    def first_day(self) -> dt.date:
        """The first day of the month: the value of ``source_month``."""
        return dt.date(self.year, self.number, 1)

    def next(self) -> Month:
        """Return the month after this one."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.number:02d}"


def parse_months(text: str, earliest: str = EARLIEST) -> tuple[Month, ...]:
    """Return the months of a list of months and ranges, such as ``2024-01..2024-03,2024-06``.

    They keep the order of the list, a month that is named twice counts once, and both ends of a range belong to it.
    Raise `UsageError` for a malformed month, one before `earliest`, or a range that ends before it starts.
    """
    months: dict[Month, None] = {}
    for part in text.split(","):
        first, dots, last = (word.strip() for word in part.partition(".."))
        if dots and not (first and last):
            raise UsageError(f"{part.strip()!r} is not a range of months: write it 2024-01..2024-03")
        ends = [Month.parse(word, earliest) for word in (first, last if dots else first)]
        months.update(dict.fromkeys(_span(*ends)))
    return tuple(months)


def spans(months: Iterable[str]) -> str:
    """Return months, ``YYYY-MM`` each, as the command line takes them: ``2024-01..2024-03,2024-06``."""
    runs: list[list[str]] = []
    for month in sorted(months):
        if runs and month == _next(runs[-1][-1]):
            runs[-1].append(month)
        else:
            runs.append([month])
    return ",".join(run[0] if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)


def spans_of(days: Iterable[dt.date]) -> str:
    """Return the months of these first days as `spans` writes them."""
    return spans(day.isoformat()[:7] for day in days)


def _next(month: str) -> str:
    year, number = map(int, month.split("-"))
    return str(Month(year, number).next())


def _span(first: Month, last: Month) -> Iterator[Month]:
    if last < first:
        raise UsageError(f"the range {first}..{last} ends before it starts: write {last}..{first}")
    while first <= last:
        yield first
        first = first.next()
