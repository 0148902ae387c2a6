"""What the pipeline's assets share: partitions, policies, and how a step's end is told to Dagster."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from core.errors import RETRIES, RETRY_DELAY_S, TransientError, TriptychError
from core.month import EARLIEST
from core.run import Receipt

MONTHS = dg.MonthlyPartitionsDefinition(start_date=EARLIEST, fmt="%Y-%m")
"""The months of the source files. The last one is the last complete month."""

ONE_MONTH = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
"""A run is a month, so a bad one holds back no other. One run for a range would be faster, and fail as a whole."""

RETRY = dg.RetryPolicy(max_retries=RETRIES, delay=RETRY_DELAY_S)
"""For every error but a `Failure` that forbids it: see `failures`."""


@contextmanager
def failures() -> Iterator[None]:
    """Turn an error into a `dg.Failure` with its one line, that allows a retry only if the error is transient."""
    try:
        yield
    except TriptychError as error:
        raise dg.Failure(str(error), allow_retries=isinstance(error, TransientError)) from error
    except Exception as error:  # a bug: another attempt would not mend it
        raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error


def materialized(receipt: Receipt, asset: str) -> dg.MaterializeResult[None]:
    """The receipt as metadata of `asset`; the content's digest, where there is one, is also its data version."""
    facts = receipt.to_json()
    version = dg.DataVersion(receipt.digest) if receipt.digest else None
    if receipt.rows is not None:
        facts["dagster/row_count"] = receipt.rows  # the key that the asset's page shows
    return dg.MaterializeResult(asset_key=asset, metadata=facts, data_version=version)
