"""The case: a join whose only work was skipped is skipped too."""

from __future__ import annotations

from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import states
from tests.questions.asking import Asking

SHOWN = ("second", "dead_end", "work", "join", "buffered_join")


def observe(asking: Asking) -> Observed:
    """Run it, and return the end of each step."""
    run = asking.run("join_after_branch", {})
    found = states(run)
    return {"run": run.state, **{name: found.get(name) for name in SHOWN}}


def joined(observed: Observed) -> list[str]:
    """Return how both joins ended; of a run in which the dead end did not run, nothing."""
    is_asked = observed["dead_end"] == "success" and observed["work"] == "skipped"
    return [observed["join"], observed["buffered_join"]] if is_asked else []


CASE = Case(
    question="If a branch skips the only upstream task, is the join skipped too?",
    theme="Branches",
    report="apache/airflow#55187",
    right=lambda observed: joined(observed) == ["skipped", "skipped"],
    right_answer="Nothing is there to be joined, so both joins are skipped, and a buffer task makes no difference.",
    expected={
        "airflow": Expected(
            "by design",
            "The branch task itself is an upstream that succeeded; with a buffer task in between, the join is skipped.",
            documentation="https://airflow.apache.org/docs/apache-airflow/3.3.2/core-concepts/dags.html#trigger-rules",
            documented=lambda observed: joined(observed) == ["success", "skipped"],
        ),
        "dagster": Expected("right", "Of a list of inputs one must be there, and a branch is an output like others."),
        "prefect": Expected("right", "Branches are Python's, and the flow submits the join only after work."),
    },
    observe=observe,
    in_tests=True,
)
