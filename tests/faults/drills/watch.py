"""What an orchestrator's own records say of a backfill, as its runner reports them twice a second, with the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core.lab.tally import LANDED


@dataclass(frozen=True)
class Fact:
    """What was recorded of a month at an instant of `time.monotonic`: the step under way, and which attempt it is."""

    at: float
    month: str
    state: str
    task: str = ""
    attempt: int = 0


@dataclass
class Watch:
    """The facts of one backfill, oldest first. It is a `core.lab.tally.Show`."""

    facts: list[Fact] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic

    def __call__(
        self, month: str, state: str, _detail: str = "", *, task: str = "", attempt: int = 0, **_: str
    ) -> None:
        """Keep one line of progress. What is said of the services is none."""
        if month != "services":
            self.facts.append(Fact(self.clock(), month, state, task, attempt))

    def last(self, month: str) -> Fact | None:
        """Return what was recorded last of a month."""
        return next((fact for fact in reversed(self.facts) if fact.month == month), None)

    @property
    def landed(self) -> set[str]:
        """The months that have landed."""
        return {fact.month for fact in self.facts if fact.state in LANDED}


def noticed_at(facts: Sequence[Fact], month: str, since: float, released: float) -> float | None:
    """Return when the orchestrator's record first showed, after `since`, that an attempt at a month was lost.

    Until the step was `released`, it could not go on, so any change of its record shows that. From then on, only a
    month that waits again or has failed, or another attempt at the same step, shows it: between two steps, none is
    under way.
    """
    before = next((fact for fact in reversed(facts) if fact.month == month and fact.at <= since), None)
    for fact in facts:
        if fact.month != month or fact.at <= since:
            continue
        if fact.state in LANDED:
            return None
        is_another = before is not None and fact.task == before.task != "" and fact.attempt > before.attempt
        if fact.state != "running" or fact.at <= released or is_another:
            return fact.at
        before = fact if fact.task else before
    return None


def landed_at(facts: Sequence[Fact], month: str | None, since: float) -> float | None:
    """Return when a month, or the first one for None, landed after `since`."""
    return next(
        (fact.at for fact in facts if fact.at > since and month in (None, fact.month) and fact.state in LANDED), None
    )
