"""The case: the data test of a month fails, and its mart, which another run builds, is not rebuilt."""

from __future__ import annotations

from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.failing_check.pipelines import BAD, BUILD, LOAD
from tests.conformance.observing import PATIENCE_S, happens, ids, new
from tests.questions.asking import Asking

BEFORE, AFTER = "2024-01", "2024-03"
"""Months that pass their test: when the mart of the second one is built, nothing of an earlier load is to come."""


def observe(asking: Asking) -> Observed:
    """Load a month that fails its test and then one that passes it, and return the months whose marts were built."""
    # What is loaded before the first look at conditions starts nothing.
    happens(lambda: is_built(asking, BEFORE, 30), PATIENCE_S, "the first mart")
    before = ids(asking, BUILD)
    load = asking.run(LOAD, {}, BAD)
    is_control_built = is_built(asking, AFTER, PATIENCE_S)
    found = {str(run.partition) for run in new(asking, BUILD, before)}
    return {"load": load.state, "built": sorted(found), "control is built": is_control_built}


def is_built(asking: Asking, month: str, within_s: float) -> bool:
    """Load a month, and return whether its mart is built."""
    before = ids(asking, BUILD)
    asking.run(LOAD, {}, month)
    return happens(lambda: month in {run.partition for run in new(asking, BUILD, before)}, within_s, f"{month}'s mart")


CASE = Case(
    question="Does a failing data test keep another run from rebuilding the mart?",
    theme="Data tests",
    report="dagster-io/dagster#27760",
    right=lambda observed: observed == {"load": "failed", "built": [AFTER], "control is built": True},
    right_answer="The load fails, and of the two months only the mart of the one that passed its test is built.",
    expected={
        "airflow": Expected("right", "The asset is an outlet of the test, and a failed task emits no event."),
        "dagster": Expected(
            "by design",
            "The materialization is there before its check, and `eager` looks at no check unless it is told to.",
            documentation=(
                "https://docs.dagster.io/guides/automate/declarative-automation/"
                "customizing-automation-conditions/customizing-eager-condition"
            ),
            documented=lambda observed: observed["load"] == "failed" and observed["built"] == [BAD, AFTER],
        ),
        "prefect": Expected("right", "The flow emits its event after the test, and a failed one emits none."),
    },
    observe=observe,
    differs="The report is about tests of dbt that become checks; the case has a blocking check of its own.",
)
