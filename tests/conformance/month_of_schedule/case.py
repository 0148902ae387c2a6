"""The case: on the first of February, a monthly schedule loads January."""

from __future__ import annotations

from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.observing import PATIENCE_S, returned
from tests.questions.asking import Asking

PIPELINE = "month_of_schedule"

TICK = "2024-02-01T00:00:00+00:00"

ENDED, BEGUN = "2024-01", "2024-02"


def observe(asking: Asking) -> Observed:
    """Let the schedule run for a tick, and return the month that was loaded."""
    (run_id,) = asking.runs.catch_up(PIPELINE, TICK, TICK)
    run = asking.runs.observe(PIPELINE, run_id, PATIENCE_S)
    return {"tick": TICK[:10], "run": run.state, "month": returned(run, "ended_month").get("month")}


CASE = Case(
    question="Does a monthly schedule load the month that has just ended?",
    theme="Dates",
    report="apache/airflow#52145",
    right=lambda observed: observed["run"] == "success" and observed["month"] == ENDED,
    right_answer="The run of 1 February loads January, which is whole.",
    expected={
        "airflow": Expected(
            "by design",
            "Since Airflow 3, the data interval of a plain cron expression begins and ends at the tick.",
            documentation=(
                "https://airflow.apache.org/docs/apache-airflow/3.3.2/authoring-and-scheduling/timetable.html"
                "#differences-between-trigger-and-data-interval-timetables"
            ),
            documented=lambda observed: observed["run"] == "success" and observed["month"] == BEGUN,
        ),
        "dagster": Expected("right", "The schedule asks for the last partition that is complete at its tick."),
        "prefect": Expected(
            "right", "A run knows its tick and no month: the flow subtracts one, or loads the wrong one."
        ),
    },
    observe=observe,
    differs="The tick is a past one: Airflow backfills it, Dagster evaluates it, and Prefect schedules it late.",
)
