"""The case: January is loaded again while June is the newest month, and its mart is refreshed."""

from __future__ import annotations

from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, SEEN, happens, ids, new
from tests.conformance.older_month.pipelines import LOAD, NEWEST, OLDER, REFRESH
from tests.questions.asking import Asking


def observe(asking: Asking) -> Observed:
    """Load January and then June again, and return the months that were refreshed once June was."""
    # What is loaded before the first look at conditions starts nothing.
    assert june_is_refreshed(asking), "no load of the newest month was followed by a refresh"
    before = ids(asking, REFRESH)
    asking.run(LOAD, {}, OLDER)
    is_refreshed = june_is_refreshed(asking)
    found = {str(run.partition) for run in new(asking, REFRESH, before)}
    return {"loaded": [OLDER, NEWEST], "refreshed": sorted(found), "control is refreshed": is_refreshed}


def june_is_refreshed(asking: Asking) -> bool:
    """Load June until a load is followed by a refresh, and return whether one was, once no refresh is under way.

    One load is not enough: `eager` forgets a load that it sees no later than the end of a refresh under way.
    """
    return happens(lambda: is_followed_by_refresh(asking), PATIENCE_S, "a refresh after a load of the newest month")


def is_followed_by_refresh(asking: Asking) -> bool:
    """Load June, and return whether a refresh follows within 30 s. Every refresh has ended then."""
    before = ids(asking, REFRESH)
    asking.run(LOAD, {}, NEWEST)

    def ended() -> bool:
        found = [run for run in new(asking, REFRESH, before) if run.partition == NEWEST]
        return bool(found) and all(run.has_ended for run in asking.runs.newest(REFRESH, SEEN))

    return happens(ended, 30, f"a refresh of {NEWEST}")


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
