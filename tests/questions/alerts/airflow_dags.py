"""Alerts in Airflow: callbacks of tasks and DAGs, deadlines, and a DAG that looks at the age of a table."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import (  # type: ignore[attr-defined]  # the stub of 3.3.2 lacks deadlines and their callbacks
    Asset,
    AsyncCallback,
    Context,
    DeadlineAlert,
    DeadlineReference,
    DeltaTriggerTimetable,
    dag,
    task,
)
from airflow.sdk.exceptions import AirflowFailException

from tests.questions.alerts import work

TABLE = Asset("alerts_table", uri="x-triptych://alerts/table")


def tell_in_task(context: Context) -> None:
    """Tell of a failed task, in the process of the task."""
    work.tell("task", context["dag_run"].dag_id)


def tell_of_run(context: Context) -> None:
    """Tell of a failed run: the scheduler asks the DAG processor for this."""
    work.tell("run", context["dag_run"].dag_id)


@dag(schedule=None, on_failure_callback=tell_of_run, default_args={"on_failure_callback": tell_in_task})
def alerts_failing() -> None:
    """Fail."""

    @task
    def fail() -> None:
        work.fail("alerts_failing")

    fail()


@dag(schedule=None, on_failure_callback=tell_of_run, default_args={"on_failure_callback": tell_in_task})
def alerts_dying() -> None:
    """Die, without a Python exception."""

    @task
    def die() -> None:
        work.die("alerts_dying")

    die()


LATE = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=dt.timedelta(seconds=work.LATE_S),
    # A name that the triggerer can import. A function of a DAG file would be one of a module that only the DAG
    # processor knows.
    callback=AsyncCallback("tests.questions.alerts.work.tell_late"),
)


@dag(schedule=None, deadline=LATE)
def alerts_late() -> None:
    """Be late."""

    @task
    def wait() -> None:
        work.held("alerts_late")

    wait()


@dag(schedule=None, deadline=LATE)
def alerts_late_but_ended() -> None:
    """Be late, and end while the scheduler is dead."""

    @task
    def wait_and_end() -> None:
        work.held("alerts_late_but_ended")

    wait_and_end()


@dag(schedule=None)
def alerts_table() -> None:
    """Update the table, once."""

    @task(outlets=[TABLE])
    def update_table() -> None:
        """Airflow records an event of the asset when this succeeds."""

    update_table()


def tell_old(_context: Context) -> None:
    """Tell of a table that is too old."""
    work.tell("old", "alerts_table")


@dag(
    schedule=DeltaTriggerTimetable(dt.timedelta(seconds=10)),
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    catchup=False,
    is_paused_upon_creation=True,
    max_active_runs=1,
)
def alerts_age() -> None:
    """Look at the age of the table every ten seconds, and fail when it is too old."""

    @task(inlets=[TABLE], on_failure_callback=tell_old)
    def check_age(inlet_events: Any) -> None:
        # Without an event, this raises too: of a table that was never updated somebody should be told.
        age = dt.datetime.now(dt.UTC) - inlet_events[TABLE][-1].timestamp
        if age > dt.timedelta(seconds=work.OLD_S):
            raise AirflowFailException(f"the table is {age} old")

    check_age()  # type: ignore[call-arg]


@dag(schedule=None, on_failure_callback=tell_of_run)
def alerts_unchecked() -> None:
    """Load nothing, and go on."""

    @task
    def load() -> int:
        return work.load()

    @task
    def use(rows: int) -> None: ...

    use(load())  # type: ignore[arg-type]


@dag(schedule=None, on_failure_callback=tell_of_run)
def alerts_checked() -> None:
    """Load nothing, and notice."""

    @task
    def load_checked() -> int:
        return work.load()

    @task
    def not_empty(rows: int) -> int:
        if not rows:
            # Not worth another attempt, whatever `retries` says.
            raise AirflowFailException("the table is empty")
        return rows

    @task
    def use_checked(rows: int) -> None: ...

    use_checked(not_empty(load_checked()))  # type: ignore[arg-type]


alerts_failing()
alerts_dying()
alerts_late()
alerts_late_but_ended()
alerts_table()
alerts_age()
alerts_unchecked()
alerts_checked()
