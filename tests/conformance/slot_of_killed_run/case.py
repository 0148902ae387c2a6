"""The case: the run that holds the only slot is canceled, and then another one killed; the next run gets the slot."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from core.waiting import until
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, POLL_S, happens
from tests.conformance.slot_of_killed_run.pipelines import SLOT
from tests.questions.asking import Asking

WITHIN_S = 120.0
"""How long the next run may wait: twice the shortest lease of Prefect."""


def observe(asking: Asking) -> Observed:
    """Return after how many seconds the next run had the slot; None when it had none within the time."""
    return {"s after a cancellation": waited(asking, cancel), "s after a kill": waited(asking, kill)}


def waited(asking: Asking, end: Callable[[Asking, str], None]) -> float | None:
    """End the run that holds the only slot, and return how long the next one waited for it."""
    asking.runs.limit(SLOT, 1)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        first = start(asking, here, "first")
        until(lambda: (here / "first.began").exists() or None, PATIENCE_S, POLL_S, "the first run")
        following = start(asking, here, "next")
        end(asking, first)
        began = time.monotonic()
        is_free = happens((here / "next.began").exists, WITHIN_S, "the slot")
        seconds = round(time.monotonic() - began, 1)
        # With a slot for each, all that still wait end.
        (here / "open").touch()
        asking.runs.limit(SLOT, 8)
        asking.runs.observe(SLOT, following, PATIENCE_S)
    return seconds if is_free else None


def start(asking: Asking, folder: Path, name: str) -> str:
    """Start a run, and return its id."""
    return asking.runs.start(SLOT, {"folder": str(folder), "name": name})


def cancel(asking: Asking, run_id: str) -> None:
    """Cancel a run."""
    asking.runs.cancel(SLOT, run_id)


def kill(asking: Asking, run_id: str) -> None:
    """End the process of a run with SIGKILL."""
    for each in asking.runs.processes():
        if each.record.run_id == run_id:
            psutil.Process(each.record.pid).kill()


CASE = Case(
    question="Does the next run get the slot of a run that was canceled or killed?",
    theme="Limits",
    report="dagster-io/dagster#28456",
    right=lambda observed: None not in observed.values(),
    right_answer=f"Both times it has the slot within {WITHIN_S:.0f} s, and nobody helps.",
    expected={
        "airflow": Expected("right", "A slot is held by a task that runs, and the scheduler learns when it has ended."),
        "dagster": Expected(
            "by design",
            "Run monitoring frees the slots of runs that have ended, and only with `free_slots_after_run_end_seconds`.",
            documentation="https://dagster.io/docs/deployment/execution/run-monitoring",
            documented=lambda observed: (
                observed["s after a cancellation"] is not None and observed["s after a kill"] is None
            ),
        ),
        "prefect": Expected("right", "A slot is leased, and the server frees the one whose lease nobody renews."),
    },
    observe=observe,
    differs="The report is of a backfill on Kubernetes; the case has two runs on one machine, and kills one as well.",
)
