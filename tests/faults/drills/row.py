"""The row of a drill: what its words mean, and how they follow from what was recorded.

    noticed_s         from the signal until the orchestrator's own record shows that the attempt is lost, to half a
                      second (`tests.faults.drills.watch.noticed_at`); for a service that died, until the lab's
                      supervisor, or the orchestrator if that is earlier, says so. None: nothing said so
    recovered_s       from the signal until the month that was under way has landed, or before the first run the first
                      month. None: it landed only when the same command ran again
    attempts          of the month's step that has most of them, as the orchestrator counts them
    orphan_wrote      whether the process of an attempt committed something after the orchestrator's record showed that
                      the attempt was lost
    stuck             runs that were still queued or running when the command had long ended
    needed_hand       what a person had to do, and None where nobody had to
    tables_identical  whether, once the same command had run again, all tables were the baseline's

What is measured is what the record says, and not what a log says: a person looks at the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.harness.measure import Row
from core.lab.protocol import BackfillResult
from tests.faults.drills.plan import BEFORE, Drill
from tests.faults.drills.probe import Seen
from tests.faults.drills.watch import Fact, landed_at, noticed_at

DIED = ("was killed by", "ended")
"""What the supervisor says of a service that is dead."""


KEY = ("tool", "settings", "killed", "signal", "phase")
"""The columns that name the drill of a row."""


@dataclass
class Course:
    """What happened in a drill. Instants are of `time.monotonic`."""

    signaled: float
    month: str
    """The month whose step was under way."""
    released: float
    facts: Sequence[Fact] = ()
    said: Sequence[tuple[float, str]] = ()
    """What the supervisor said."""
    result: BackfillResult | None = None
    """None when the command had to be interrupted."""
    again: BackfillResult | None = None
    """What the same command had for a result once it was run again; None when it had to be interrupted."""
    orphan_wrote: bool = False
    stuck: int = 0
    by_hand: list[str] = field(default_factory=list)
    identical: bool = False
    seen: Seen = field(default_factory=Seen)


def lost_at(course: Course) -> float | None:
    """Return when the orchestrator's own record showed that the attempt was lost."""
    return noticed_at(course.facts, course.month, course.signaled, course.released)


def noticed(drill: Drill, course: Course) -> float | None:
    """Return when the loss was noticed."""
    found = [lost_at(course)]
    if drill.is_service:
        found += [at for at, line in course.said if at > course.signaled and any(word in line for word in DIED)]
    return min((at for at in found if at is not None), default=None)


def attempts(course: Course) -> int | None:
    """Return the attempts of the month under way: those of the step that has most; None without a record."""
    if course.result is None:
        return None
    months = [each for each in course.result.months if each.month == course.month]
    return max((n for each in months for n in (each.attempts, *(task.attempts for task in each.tasks))), default=None)


def row(drill: Drill, course: Course) -> Row:
    """Return the row."""
    month = None if drill.phase == BEFORE else course.month
    return {
        "tool": drill.orchestrator,
        "settings": drill.settings,
        "killed": drill.component,
        "signal": drill.signal,
        "phase": drill.phase,
        "noticed_s": _seconds(course, noticed(drill, course)),
        "recovered_s": _seconds(course, landed_at(course.facts, month, course.signaled)),
        "attempts": attempts(course),
        "orphan_wrote": course.orphan_wrote,
        "stuck": course.stuck,
        "needed_hand": "; ".join(course.by_hand) or None,
        "tables_identical": course.identical,
        "looks": course.seen.looks,
        "partial_reads": len(course.seen.wrong),
    }


def name_of(row: Row) -> str:
    """Return the name of a row's drill."""
    return " ".join(row[key] for key in KEY)


def _seconds(course: Course, at: float | None) -> float | None:
    return None if at is None else round(at - course.signaled, 2)
