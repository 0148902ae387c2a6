"""The drills on two of everything, as data: of which services there are two, and which of them loses one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import UsageError, quoted
from tests.faults.drills.plan import SERVICES

BACKFILL, EVENTS = "backfill", "events"
"""The work in the middle of which a process dies."""

NOTHING = "nothing"
"""What dies where both processes live on: what two do that one does not."""

PAIRS = {"airflow": ("scheduler", "api"), "dagster": ("daemon", "api"), "prefect": ("worker", "api")}
"""The components of which there are two, by orchestrator: what starts the runs, and what answers."""

OF_EVENTS = {"airflow": "scheduler", "dagster": "daemon", "prefect": "api"}
"""The component that starts a run because of an event."""


@dataclass(frozen=True)
class Pair:
    """One drill."""

    orchestrator: str
    killed: str
    work: str

    @property
    def name(self) -> str:
        """Its name, which no other has."""
        return " ".join((self.orchestrator, self.killed, self.work))


def scale_of(orchestrator: str) -> dict[str, int]:
    """Return the services of which there are two."""
    return {SERVICES[orchestrator][component]: 2 for component in PAIRS[orchestrator]}


def pairs(orchestrator: str) -> list[Pair]:
    """Return the drills of an orchestrator; those of one kind of work share its services, and stand together."""
    backfills = [Pair(orchestrator, killed, BACKFILL) for killed in (NOTHING, *PAIRS[orchestrator])]
    return [*backfills, *(Pair(orchestrator, killed, EVENTS) for killed in (NOTHING, OF_EVENTS[orchestrator]))]


def chosen(found: Sequence[Pair], only: str) -> list[Pair]:
    """Return the drills that `only` names, as in ``nothing,api:events``; all with an empty one.

    Raise `UsageError` for what no drill has.
    """
    kept = []
    for word in filter(None, only.split(",")):
        wanted = word.strip().split(":")
        of_word = [each for each in found if [each.killed, each.work][: len(wanted)] == wanted]
        if not of_word:
            raise UsageError(f"--only {quoted(word)}: no such drill: choose from {', '.join(_words(found))}")
        kept += of_word
    return [each for each in found if each in kept] if only else list(found)


def _words(found: Sequence[Pair]) -> list[str]:
    return [f"{each.killed}:{each.work}" for each in found]
