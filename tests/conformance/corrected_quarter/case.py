"""The case: a month of a quarter that is rolled up is corrected, and the quarter is rolled up once more."""

from __future__ import annotations

from collections.abc import Sequence

from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.corrected_quarter import work
from tests.conformance.corrected_quarter.pipelines import LOAD, ROLL_UP
from tests.conformance.observing import PATIENCE_S, happens, ids, settled
from tests.questions.asking import Asking

QUARTER, CORRECTED = "2024-Q1", "2024-02"

CONTROLS = ("2024-Q2", "2024-Q3")
"""Quarters that are loaded before and after the correction: once one is rolled up, nothing older is to come."""


def observe(asking: Asking) -> Observed:
    """Correct February, and return the totals of its quarter since."""
    work.folder(asking.bench.lab.settings).mkdir(exist_ok=True)
    # What is loaded before the first look at conditions starts nothing.
    happens(lambda: is_rolled_up(asking, QUARTER, 30), PATIENCE_S, "the first roll-up")
    control(asking, CONTROLS[0])
    before = totals(asking, QUARTER)
    load(asking, [CORRECTED], 25)
    is_control_there = control(asking, CONTROLS[1])
    found = totals(asking, QUARTER)
    return {
        "total": before[-1:], "totals since the correction": found[len(before) :],
        "sum of its months": 10 + 25 + 10, "control is rolled up": is_control_there,
    }  # fmt: skip


def load(asking: Asking, months: Sequence[str], rows: int) -> None:
    """Publish and load months, all at once."""
    for month in months:
        (work.folder(asking.bench.lab.settings) / f"{month}.published").write_text(str(rows))
    for run_id in [asking.runs.start(LOAD, {}, month) for month in months]:
        asking.runs.observe(LOAD, run_id, PATIENCE_S)


def is_rolled_up(asking: Asking, quarter: str, within_s: float) -> bool:
    """Load the months of a quarter, and return whether it is rolled up."""
    load(asking, work.months_of(quarter), 10)
    return happens(lambda: bool(totals(asking, quarter)), within_s, quarter)


def control(asking: Asking, quarter: str) -> bool:
    """Return whether another quarter is rolled up, once every roll-up that has begun has ended."""
    before = ids(asking, ROLL_UP)
    found = is_rolled_up(asking, quarter, PATIENCE_S)
    settled(asking, ROLL_UP, before, lambda _: True)
    return found


def totals(asking: Asking, quarter: str) -> list[int]:
    """Return the totals of a quarter, one for each roll-up of it."""
    path = work.folder(asking.bench.lab.settings) / "marts"
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith(quarter)]


CASE = Case(
    question="Is a quarter rolled up again when one of its months is corrected?",
    theme="Late data",
    report="apache/airflow#65923",
    right=lambda observed: observed["totals since the correction"] == [observed["sum of its months"]],
    right_answer="The correction starts one roll-up, whose total is the sum of the months as they are now.",
    expected={
        "airflow": Expected(
            "wrong", "The event begins a new window, which waits for the two other months to be loaded again."
        ),
        "dagster": Expected("right", "A newer partition upstream is enough for `eager`, as long as none is missing."),
        "prefect": Expected("right", "The trigger starts a run for each event, and the flow finds all three months."),
    },
    observe=observe,
    differs="The report clears the run of a month; the case loads the month in a new run, as a correction is.",
)
