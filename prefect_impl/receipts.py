"""The receipt of each step, saved as a table artifact of its task run."""

from __future__ import annotations

import httpx
from prefect.artifacts import create_table_artifact

from core.errors import TransientError
from core.run import Receipt
from core.waiting import PATIENCE_S, patiently


def recorded(receipt: Receipt) -> Receipt:
    """Save `receipt` and return it.

    It is then in Prefect's database, on the run's page, and versioned by its key, such as `ingest-month-2024-01`.
    """
    patiently(lambda: create_artifact(receipt), PATIENCE_S)
    return receipt


def create_artifact(receipt: Receipt) -> None:
    """Create the artifact; raise `TransientError` when the server does not answer.

    Each call opens a client of its own, and Prefect does not repeat the first request of a new client.
    """
    key = "-".join(filter(None, (receipt.task, receipt.month))).replace("_", "-")
    try:
        create_table_artifact([receipt.to_json()], key=key)
    except httpx.TransportError as error:
        raise TransientError(f"Prefect's server does not answer: {error!r}") from error
