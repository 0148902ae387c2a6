"""Recovery in Airflow: a task is retried in a process of its own, and a run is cleared from the task that failed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.sdk import CronPartitionTimetable, PartitionedAtRuntime, dag, task
from airflow.sdk.exceptions import AirflowFailException

from core.errors import PermanentError
from tests.questions.recovery import work

VERSION = work.version()

AGAIN = {
    "retries": 3,
    "retry_delay": dt.timedelta(seconds=1),
    # Times 2 for each attempt: 1, 2 and 4 s, and up to twice as long.
    "retry_exponential_backoff": 2,
    "max_retry_delay": dt.timedelta(minutes=5),
}


@contextmanager
def permanent() -> Iterator[None]:
    """Fail the task at once for an error that another attempt would meet again. Airflow retries any other one."""
    try:
        yield
    except PermanentError as error:
        raise AirflowFailException(str(error)) from error


@dag(
    schedule=CronPartitionTimetable("0 0 1 * *", timezone="UTC", run_offset=-1, key_format="%Y-%m"),
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    # A date in the past: its schedule starts nothing.
    end_date=dt.datetime(2024, 12, 31, tzinfo=dt.UTC),
    catchup=False,
    default_args=AGAIN,
)
def recover() -> None:
    """Load one month: what a task has returned is an XCom, which stays when the task after it is cleared."""

    @task
    def fetch(dag_run: Any) -> str:
        with permanent():
            return work.fetch(dag_run.partition_key, VERSION)

    @task
    def load(file: str, dag_run: Any) -> int:
        with permanent():
            return work.load(dag_run.partition_key, file, "airflow", VERSION)

    @task
    def report(rows: int, dag_run: Any) -> None:
        with permanent():
            work.report(dag_run.partition_key, rows, VERSION)

    report(load(fetch()))  # type: ignore[call-arg, arg-type]


@dag(schedule=PartitionedAtRuntime())
def timed() -> None:
    """Write one month, within a time."""

    @task(execution_timeout=dt.timedelta(seconds=work.TIMEOUT_S))
    def write(dag_run: Any) -> int:
        # An exception ends this, as if the code had raised it. The limit is of each attempt.
        return work.write(dag_run.partition_key, "airflow")

    write()  # type: ignore[call-arg]


recover()
timed()
