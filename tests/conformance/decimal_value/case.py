"""The case: what was booked is what was summed."""

from __future__ import annotations

from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import returned
from tests.questions.asking import Asking


def observe(asking: Asking) -> Observed:
    """Run it, and return what was sent and what arrived."""
    run = asking.run("decimal_value", {})
    return {"state": run.state, **returned(run, "book")}


CASE = Case(
    question="Does a decimal of 19 digits reach the next task with all of them?",
    theme="Values",
    report="apache/airflow#72064",
    right=lambda observed: observed["state"] == "success" and observed["sent"] == observed["booked"],
    right_answer="The second task has the very value that the first one returned.",
    expected={
        "airflow": Expected("wrong", "The serializer of a decimal with digits behind the point makes it a float."),
        "dagster": Expected("right", "The default IO manager pickles what an asset returns."),
        "prefect": Expected("right", "The default serializer of results pickles what a task returns."),
    },
    observe=observe,
    differs="In Prefect, tasks of one run share memory: the value is persisted, and read from the storage.",
    in_tests=True,
)
