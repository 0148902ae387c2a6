"""What a runner has reported of each month so far: all that is known when it ends without a result."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.lab.protocol import BackfillRequest, BackfillResult, MonthRecord
from core.ledger import Entry

LANDED = ("success", "unchanged")


Show = Callable[..., None]
"""Called with a month, or ``services``, its state and its detail; by name, with the `task` under way and its `attempt`,
and with the orchestrator's `version`."""


@dataclass
class Tally:
    """The tally of one backfill. It is called with each line of the runner's progress, and passes it on to `show`."""

    request: BackfillRequest
    loader: str
    """The orchestrator's name, as in the ledger."""
    show: Show | None = None
    version: str = ""
    began: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    _started: float = field(default_factory=time.monotonic)
    _states: dict[str, tuple[str, str]] = field(default_factory=dict)
    _records: dict[str, MonthRecord] = field(default_factory=dict)

    def __call__(self, fact: Mapping[str, Any]) -> None:
        """Keep one line, and pass it on."""
        month, state, detail = fact["month"], fact["state"], fact["detail"]
        self._states[month] = state, detail
        if record := fact.get("record"):
            self._records[month] = MonthRecord.from_json(record)
        else:
            # It had ended, and runs again.
            self._records.pop(month, None)
        if self.show:
            step = {name: fact[name] for name in ("task", "attempt") if name in fact}
            self.show(month, state, detail, version=self.version, **step)

    def settle(self, result: BackfillResult) -> None:
        """Show how those months ended of which the runner has not reported an end."""
        for record in result.months:
            if self.show and self._states.get(record.month, ("",))[0] != record.state:
                self.show(record.month, record.state, record.error or record.warned)

    @property
    def has_landed(self) -> bool:
        """Whether any month has landed."""
        return any(state in LANDED for state, _ in self._states.values())

    def result(self, error: str, loaded: Mapping[str, Entry]) -> BackfillResult:
        """Return the months that had ended as they ended, and the others as failed with `error`.

        `loaded` holds the ledger's entry of each month.
        """
        records = [self._record(month, error, loaded.get(month)) for month in self.request.months]
        return BackfillResult.of(self.version, self._started, records)

    def filled(self, result: BackfillResult, loaded: Callable[[], Mapping[str, Entry]]) -> BackfillResult:
        """Complete a runner's result for months that it lost: a failed one without an attempt may be loaded."""
        lost = [each for each in result.months if each.state == "failed" and not each.attempts]
        if not lost:
            return result
        entries = loaded()
        known = {each.month: self._record(each.month, each.error or "", entries.get(each.month)) for each in lost}
        return BackfillResult.of(
            result.version, self._started, [known.get(each.month, each) for each in result.months], result.notes
        )

    def _record(self, month: str, error: str, entry: Entry | None) -> MonthRecord:
        state, detail = self._states.get(month, ("waiting", ""))
        if month in self._records:
            return self._records[month]
        if state in LANDED:
            return _of(month, state, entry)
        if state == "failed":
            return MonthRecord(month, "failed", attempts=1, error=detail or f"failed; its cause is not known: {error}")
        if entry and entry.loader == self.loader and entry.loaded_at and entry.loaded_at >= self.began:
            return _of(month, "failed", entry, f"its rows are loaded, but its run did not end: {error}")
        return MonthRecord(month, "failed", attempts=int(state == "running"), error=error)


def _of(month: str, state: Any, entry: Entry | None, error: str | None = None) -> MonthRecord:
    """Return a record made from the ledger's entry. The ledger does not count attempts: there was at least one."""
    if entry is None:
        return MonthRecord(month, state, attempts=1, error=error)
    return MonthRecord(
        month, state, 1, entry.row_count, entry.source_sha256, entry.content_digest,
        ended_at=entry.loaded_at.isoformat() if entry.loaded_at else None, error=error,
    )  # fmt: skip
