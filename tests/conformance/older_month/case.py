"""The case: January is loaded again while June is the newest month, and its mart is refreshed."""

from __future__ import annotations

from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, happens, ids, new
from tests.conformance.older_month.pipelines import LOAD, NEWEST, OLDER, REFRESH
from tests.questions.asking import Asking


def observe(asking: Asking) -> Observed:
    """Load January and then June again, and return the months that were refreshed once June was."""
    # What is loaded before the first look at conditions starts nothing.
    happens(lambda: refreshed(asking, NEWEST, 30), PATIENCE_S, "the first refresh")
    before = ids(asking, REFRESH)
    asking.run(LOAD, {}, OLDER)
    is_refreshed = refreshed(asking, NEWEST, PATIENCE_S)
    found = {str(run.partition) for run in new(asking, REFRESH, before)}
    return {"loaded": [OLDER, NEWEST], "refreshed": sorted(found), "control is refreshed": is_refreshed}


def refreshed(asking: Asking, month: str, within_s: float) -> bool:
    """Load a month, and return whether its mart is refreshed."""
    before = ids(asking, REFRESH)
    asking.run(LOAD, {}, month)
    return happens(lambda: month in {run.partition for run in new(asking, REFRESH, before)}, within_s, f"{month}")


CASE = Case(
    question="Is the mart of January refreshed when January is loaded again and June is the newest month?",
    theme="Late data",
    report="dagster-io/dagster#24474",
    right=lambda observed: observed["refreshed"] == observed["loaded"],
    right_answer="Both marts are refreshed, January's and June's.",
    expected={
        "airflow": Expected("right", "Each event with a partition key starts a run with that key."),
        "dagster": Expected(
            "by design",
            "`eager` includes a condition that holds for the newest time window only, and can be taken out of it.",
            documentation=(
                "https://docs.dagster.io/guides/automate/declarative-automation/"
                "customizing-automation-conditions/customizing-eager-condition"
            ),
            documented=lambda observed: observed["refreshed"] == observed["loaded"][-1:],
        ),
        "prefect": Expected("right", "The trigger starts a run for each event, and knows nothing of months."),
    },
    observe=observe,
    in_tests=True,
)
