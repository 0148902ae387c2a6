"""A decimal in Prefect: persisted by one task, and read from the result storage by the next."""

from __future__ import annotations

from decimal import Decimal

from prefect import flow, runtime, task
from prefect.artifacts import create_table_artifact
from prefect.results import get_result_store

from tests.conformance.decimal_value.pipelines import FARES

KEY = "{flow_run.id}-fares"


@task(persist_result=True, result_storage_key=KEY)
def sum_fares() -> Decimal:
    """Return the sum, which is stored under a key."""
    return FARES


@task
def book(key: str) -> None:
    """Book the sum that is stored."""
    create_table_artifact([{"sent": str(FARES), "booked": str(get_result_store().read(key).result)}])


@flow(name="decimal_value")
def decimal_value() -> None:
    """Hand a sum from one task to the next."""
    sum_fares()
    book(KEY.format(flow_run=runtime.flow_run))


deployments = [decimal_value.to_deployment("triptych")]
