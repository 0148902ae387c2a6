"""The case: a run that holds the only slot fails, waits for its retry, and another run wants the slot meanwhile."""

from __future__ import annotations

import tempfile
from pathlib import Path

from core.waiting import until
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, POLL_S
from tests.conformance.slot_in_retry.pipelines import SLOT
from tests.conformance.slot_in_retry.work import FIRST, NEXT, attempts
from tests.questions.asking import Asking

RETRIED_S = 480.0
"""How long the two runs may take: twice the longest delay."""


def observe(asking: Asking) -> Observed:
    """Return how both runs ended, and which of them had the slot, in this order."""
    if asking.orchestrator != "prefect":
        # Prefect's limit is the deployment's own.
        asking.runs.limit(SLOT, 1)
    with tempfile.TemporaryDirectory() as folder:
        first = start(asking, folder, FIRST)
        until(lambda: attempts(Path(folder)) or None, PATIENCE_S, POLL_S, "the first attempt")
        following = start(asking, folder, NEXT)
        ended = {
            name: asking.runs.observe(SLOT, run, RETRIED_S).state for name, run in ((FIRST, first), (NEXT, following))
        }
        return {**ended, "had the slot": attempts(folder)}


def start(asking: Asking, folder: str, name: str) -> str:
    """Start a run, and return its id."""
    return asking.runs.start(SLOT, {"folder": folder, "name": name})


CASE = Case(
    question="Does a run that waits for its retry for longer than a lease get its second attempt?",
    theme="Limits",
    report="PrefectHQ/prefect#22885",
    right=lambda observed: (
        observed[FIRST] == observed[NEXT] == "success" and observed["had the slot"].count(FIRST) == 2
    ),
    right_answer="The second attempt succeeds, and so does the run that wanted the slot, before it or after it.",
    expected={
        "airflow": Expected(
            "right", "A task that waits for its retry holds no slot, and the next one gets it meanwhile."
        ),
        "dagster": Expected(
            "right", "An op that waits for its retry holds no slot, and the next one gets it meanwhile."
        ),
        "prefect": Expected(
            "right", "The run keeps its slot while it waits: its lease is renewed, and no longer revoked."
        ),
    },
    observe=observe,
    differs="Only Prefect leases the slot of a run: the retries of the two others are 30 s apart, and not 240 s.",
)
