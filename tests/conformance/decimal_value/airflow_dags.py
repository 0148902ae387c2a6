"""A decimal in Airflow: what a task returns is an XCom."""

from __future__ import annotations

from decimal import Decimal

from airflow.sdk import dag, task

from tests.conformance.decimal_value.pipelines import FARES


@dag(schedule=None)
def decimal_value() -> None:
    """Hand a sum from one task to the next."""

    @task
    def sum_fares() -> Decimal:
        return FARES

    @task(multiple_outputs=False)
    def book(fares: Decimal) -> dict[str, str]:
        return {"sent": str(FARES), "booked": str(fares)}

    book(sum_fares())  # type: ignore[arg-type]


decimal_value()
