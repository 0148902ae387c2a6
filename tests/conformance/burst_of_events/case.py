"""The case: four months are loaded at once, and the mart of each is built."""

from __future__ import annotations

from collections.abc import Collection

from core.lab.protocol import RunRecord
from tests.conformance.burst_of_events.pipelines import BUILD, LOAD
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, ids, returned, settled
from tests.questions.asking import Asking

MONTHS = ["2024-01", "2024-02", "2024-03", "2024-04"]

LAST = "2024-05"
"""It is loaded once the first mart is there: when this one is built too, so is every one that will be."""


def observe(asking: Asking) -> Observed:
    """Load four months at once, and return those whose marts are built."""
    before = ids(asking, BUILD)
    for run_id in [load(asking, month) for month in MONTHS]:
        asking.runs.observe(LOAD, run_id, PATIENCE_S)
    settled(asking, BUILD, before, lambda runs: len(runs) > 0)
    asking.runs.observe(LOAD, load(asking, LAST), PATIENCE_S)
    seen: list[str] = []

    def is_last_there(runs: list[RunRecord]) -> bool:
        # A run without a partition says its months when it has ended.
        ended = (run if run.partition else asking.runs.observe(BUILD, run.run_id) for run in runs)
        seen[:] = sorted({month for run in ended for month in months_of(run)})
        return LAST in seen

    runs = settled(asking, BUILD, before, is_last_there)
    return {"loaded": MONTHS, "built": [month for month in seen if month != LAST], "runs": len(runs)}


def load(asking: Asking, month: str) -> str:
    """Start a load, and return its run's id."""
    # In Airflow an event with a partition key starts partitioned DAGs only. The question is about all the others.
    if asking.orchestrator == "airflow":
        return asking.runs.start(LOAD, {"month": month})
    return asking.runs.start(LOAD, {}, month)


def months_of(run: RunRecord) -> Collection[str]:
    """Return the months whose marts a run has built."""
    return [run.partition] if run.partition else returned(run, "burst_mart").get("months", [])


CASE = Case(
    question="Is each of four months that are loaded at once seen by whoever waits for their events?",
    theme="Events",
    report="dagster-io/dagster#32853",
    right=lambda observed: observed["built"] == observed["loaded"],
    right_answer="The marts of all four months are built, in four runs or in fewer.",
    expected={
        "airflow": Expected("right", "A run of the consumer has all events since the one before it."),
        "dagster": Expected("wrong", "Each look of an asset sensor fetches the newest materialization only."),
        "prefect": Expected("right", "The trigger starts a run for each event."),
    },
    observe=observe,
    differs="The case loads a fifth month at the end, to know when to stop waiting.",
    repeat=3,
    why_repeat="Four events may fall between two looks, or on both sides of one; the report saw one month of four.",
)
