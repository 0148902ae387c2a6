"""The receipt of each step, saved as a table artifact of its task run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.artifacts import create_table_artifact

from core.errors import TransientError, TriptychError
from core.run import Receipt, counted
from core.waiting import PATIENCE_S, patiently


@contextmanager
def failures() -> Iterator[None]:
    """Raise the pipeline's errors without their causes, whose frames would fill the log of the task run.

    A message says all that the frames of an HTTP library below it would.
    """
    try:
        yield
    except TriptychError as error:
        raise error from None


def recorded(schema: str, receipt: Receipt) -> Receipt:
    """Save what a step did to the tables of `schema`, and return its `receipt`.

    It is then in Prefect's database, on the run's page, and versioned by its key, such as
    `taxis-ingest-month-2024-01`.
    """
    patiently(lambda: create_artifact(schema, receipt), PATIENCE_S)
    return receipt


def create_artifact(schema: str, receipt: Receipt) -> None:
    """Create the artifact; raise `TransientError` when the server does not answer.

    Each call opens a client of its own, and Prefect does not repeat the first request of a new client.
    """
    key = "-".join(filter(None, (schema, receipt.task, receipt.month))).replace("_", "-")
    try:
        create_table_artifact([receipt.to_json()], key=key, description=description(schema, receipt))
    except httpx.TransportError as error:
        raise TransientError(f"Prefect's server does not answer: {error!r}") from error


def description(schema: str, receipt: Receipt) -> str:
    """Return what the step did in one line, such as ``ingest_month 2024-01 -> taxis: success, 56,551 rows``."""
    what = " ".join(filter(None, (receipt.task, receipt.month)))
    rows = counted(receipt.rows, "row") if receipt.rows is not None else None
    return f"{what} -> {schema}: {', '.join(filter(None, (receipt.state, rows, receipt.detail)))}"
