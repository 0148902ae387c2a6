"""The case: a run without a month is refused, fails, or reaches the consumer. It does not end well without effect."""

from __future__ import annotations

from core.errors import PermanentError
from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, happens, ids, new
from tests.conformance.run_without_month.pipelines import BUILD, LOAD
from tests.questions.asking import Asking

CONTROLS = ("2024-02", "2024-03")
"""Months that are loaded with their key, before and after: when the second is built, so is all before it."""


def observe(asking: Asking) -> Observed:
    """Load without a month, and return how that ended, and how often the mart was built of it."""
    ready(asking)
    before = ids(asking, BUILD)
    load, month = load_without(asking)
    is_built = control(asking, CONTROLS[1])
    built = [each.partition for each in new(asking, BUILD, before)]
    return {"load": load, "its month": month, "marts of it": built.count(month), "control is built": is_built}


def load_without(asking: Asking) -> tuple[str, str | None]:
    """Load without a month, and return how that ended, and which month it was of."""
    try:
        run = asking.run(LOAD, {})
    except PermanentError:
        return "refused", None
    return run.state, run.partition


def ready(asking: Asking) -> None:
    """Load with a month until that builds a mart: an event before Dagster's first look at conditions starts nothing."""
    happens(lambda: control(asking, CONTROLS[0], 30), PATIENCE_S, "the first mart")


def control(asking: Asking, month: str, within_s: float = PATIENCE_S) -> bool:
    """Load a month with its key, and return whether its mart is built."""
    before = ids(asking, BUILD)
    asking.run(LOAD, {}, month)
    return happens(lambda: month in {run.partition for run in new(asking, BUILD, before)}, within_s, f"{month}'s mart")


def right(observed: Observed) -> bool:
    """Return whether the run was refused, has failed, or has reached the consumer."""
    is_loud = observed["load"] in ("refused", "failed")
    return observed["control is built"] and (is_loud or observed["marts of it"] > 0)


CASE = Case(
    question="Does a monthly load that somebody starts without a month say so?",
    theme="Partitions",
    report="apache/airflow#71284",
    right=right,
    right_answer="The run is refused or fails, or the mart is built of whatever month it has loaded.",
    expected={
        "airflow": Expected("wrong", "The run has no key and ends well; its event has none, and starts no consumer."),
        "dagster": Expected("right", "The run fails: it asks for its partition, and has none."),
        "prefect": Expected("right", "The server refuses a run without a parameter that has no default."),
    },
    observe=observe,
    differs="The report asks for a suggested key in the form; the case is the silence that it describes.",
)
