"""A monthly schedule in Airflow: a cron expression, and the month in which the run's data interval begins."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow.sdk import dag, task


@dag(schedule="0 0 1 * *", start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC), catchup=False)
def month_of_schedule() -> None:
    """Load the month that has ended."""

    @task(multiple_outputs=False)
    def ended_month(data_interval_start: Any) -> dict[str, str]:
        return {"month": f"{data_interval_start:%Y-%m}"}

    ended_month()  # type: ignore[call-arg]


month_of_schedule()
