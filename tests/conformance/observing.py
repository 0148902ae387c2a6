"""What several cases do to observe: the runs that were not there before, and what a run's task returned."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from core.errors import TransientError
from core.lab.protocol import RunRecord
from core.waiting import until
from tests.questions.asking import Asking

PATIENCE_S = 120.0
"""How long anything that must happen may take, on a busy machine."""

POLL_S = 0.5

SEEN = 200
"""How many runs of a pipeline are looked at."""


def ids(asking: Asking, pipeline: str) -> set[str]:
    """Return the ids of the pipeline's runs so far."""
    return {run.run_id for run in asking.runs.newest(pipeline, SEEN)}


def new(asking: Asking, pipeline: str, before: Collection[str]) -> list[RunRecord]:
    """Return the pipeline's runs that were not there before, oldest first."""
    return [run for run in asking.runs.newest(pipeline, SEEN)[::-1] if run.run_id not in before]


def settled(
    asking: Asking, pipeline: str, before: Collection[str], enough: Callable[[list[RunRecord]], bool]
) -> list[RunRecord]:
    """Return the new runs, with their tasks, once they are `enough` and all have ended."""

    def look() -> list[RunRecord] | None:
        runs = new(asking, pipeline, before)
        return runs if all(run.has_ended for run in runs) and enough(runs) else None

    runs = until(look, PATIENCE_S, POLL_S, f"the runs of {pipeline}")
    return [asking.runs.observe(pipeline, run.run_id, PATIENCE_S) for run in runs]


def happens(probe: Callable[[], bool], within_s: float, what: str) -> bool:
    """Return whether something is the case within so many seconds."""
    try:
        return until(lambda: probe() or None, within_s, POLL_S, what)
    except TransientError:
        return False


def returned(run: RunRecord, task: str) -> dict[str, Any]:
    """Return what a task of a run returned; nothing when it returned nothing."""
    found = next((each.returned for each in run.tasks if each.task == task), None)
    return found if isinstance(found, dict) else {}


def states(run: RunRecord) -> dict[str, str]:
    """Return the state of each task of a run."""
    return {task.task: task.state for task in run.tasks}
