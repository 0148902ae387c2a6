"""The case: three months are backfilled while the schedule is off, and it stays off."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import happens, ids, new
from tests.questions.asking import Asking

PIPELINE = "paused_backfill"

MONTHS = ("2024-01", "2024-02", "2024-03")

WITHIN_S = 30.0
"""How long three loads of nothing may take."""


def observe(asking: Asking) -> Observed:
    """Backfill three months, and count the runs that there are soon after."""
    before = ids(asking, PIPELINE)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(asking.backfill, PIPELINE, MONTHS, {})
        is_over = happens(lambda: ended(asking, before) == len(MONTHS), WITHIN_S, "the end of the backfill")
        runs = new(asking, PIPELINE, before)
        found = {
            "backfilled": ended(asking, before),
            "waiting": sum(run.state == "queued" for run in runs),
            "scheduled": sum(run.cause == "scheduled" for run in runs),
        }
        if not is_over:
            # Otherwise it would wait for ever.
            asking.runs.schedule(PIPELINE, active=True)
        call.result()
    if not is_over:
        asking.runs.schedule(PIPELINE, active=False)
    return found


def ended(asking: Asking, before: set[str]) -> int:
    """Return how many runs of the backfill have ended well."""
    runs = new(asking, PIPELINE, before)
    return sum(run.state == "success" and run.cause == "backfill" for run in runs)


CASE = Case(
    question="Does a backfill run while the schedule is off, and leave it off?",
    theme="Backfills",
    report="apache/airflow#60768",
    right=lambda observed: observed == {"backfilled": len(MONTHS), "waiting": 0, "scheduled": 0},
    right_answer="Three runs of the backfill end well, and the schedule has started none.",
    expected={
        "airflow": Expected("wrong", "The scheduler starts no run of a paused DAG; those of a backfill wait with it."),
        "dagster": Expected("right", "A schedule and a backfill are two things, and the state is the schedule's."),
        "prefect": Expected(
            "unsupported", "It has no backfill: a flow of the user's own would be one.", absent="backfill"
        ),
    },
    observe=observe,
    differs="The report asks for an option to do this; the case is what happens without it.",
)
