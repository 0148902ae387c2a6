"""The case: the run that holds the only slot is canceled, and the next one begins when that one works no longer."""

from __future__ import annotations

import tempfile
from pathlib import Path

from core.waiting import until
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, POLL_S, happens
from tests.conformance.slot_before_end.pipelines import SLOT
from tests.questions.asking import Asking


def observe(asking: Asking) -> Observed:
    """Cancel the run that holds the slot, and return for how many seconds it worked beside the next one."""
    asking.runs.limit(SLOT, 1)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        canceled = start(asking, here, "canceled")
        until(lambda: (here / "canceled.since").exists() or None, PATIENCE_S, POLL_S, "the first run")
        following = start(asking, here, "next")
        asking.runs.cancel(SLOT, canceled)
        until(lambda: (here / "next.since").exists() or None, PATIENCE_S, POLL_S, "the next run")
        # A load that still works goes on to say so.
        until(lambda: has_stopped(here / "canceled.until") or None, PATIENCE_S, 1.0, "the end of the canceled load")
        (here / "open").touch()
        state = asking.runs.observe(SLOT, following, PATIENCE_S).state
        both = float((here / "canceled.until").read_text()) - float((here / "next.since").read_text())
        ended = asking.runs.observe(SLOT, canceled, PATIENCE_S).state
    return {"run": ended, "next run": state, "s of both": round(max(both, 0.0), 1)}


def start(asking: Asking, folder: Path, name: str) -> str:
    """Start a run, and return its id."""
    return asking.runs.start(SLOT, {"folder": str(folder), "name": name})


def has_stopped(path: Path) -> bool:
    """Return whether a load has not said for 3 s that it works."""
    before = path.read_text()

    def goes_on() -> bool:
        return path.read_text() != before

    return not happens(goes_on, 3.0, "a sign of work")


CASE = Case(
    question="Does the next run wait for the slot of a canceled run until that has stopped working?",
    theme="Limits",
    report="apache/airflow#42093",
    right=lambda observed: (
        observed["run"] == "canceled" and observed["next run"] == "success" and observed["s of both"] == 0
    ),
    right_answer="The next run begins when the canceled one works no longer: never do two of them work at a time.",
    expected={
        "airflow": Expected(
            "wrong",
            "A canceled task is failed at once and holds no slot any more; its process hears of it at its next "
            "heartbeat, and works until then.",
        ),
        "dagster": Expected("right", "The slot is the step's, and is freed when that has been interrupted."),
        "prefect": Expected("right", "The task gives its slot back itself, when it has been interrupted."),
    },
    observe=observe,
    differs="The report clears runs afterwards, and their retries work at the same time; the case only cancels one.",
)
