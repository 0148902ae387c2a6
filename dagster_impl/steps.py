"""What the assets and checks share: partitions, policies, retries, and metadata."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from core.errors import RETRIES, RETRY_DELAY_S, TransientError, TriptychError
from core.month import EARLIEST
from core.run import Receipt

MONTHS = dg.MonthlyPartitionsDefinition(start_date=EARLIEST, fmt="%Y-%m")
"""The months of the source files. The last one is the last complete month.

A run is a month, which is Dagster's default, so a bad one holds back no other: a run for a range would be faster, and
fail as a whole. `dg.BackfillPolicy.multi_run(1)` would say so, but its runs are tagged with a range, and 1.13.27
records the result of a check with its partition only in a run that is tagged with a partition.
"""

OWNERS = ["team:triptych"]


@contextmanager
def failures(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
) -> Iterator[None]:
    """Raise every error as a `dg.Failure` with a message of one line, or as a request to retry what may pass.

    No `dg.RetryPolicy`: 1.13.27 retries a step with a policy also when its run is terminated. The last attempt asks for
    no retry: otherwise its event would say "Exceeded max_retries of 2", and not why.
    """
    try:
        yield
    except TriptychError as error:
        failure = dg.Failure(str(error), allow_retries=False)
        if isinstance(error, TransientError) and context.retry_number < RETRIES:
            raise dg.RetryRequested(RETRIES, RETRY_DELAY_S) from failure
        # Its message says all that the frames of an HTTP library below it would.
        raise failure from None
    except Exception as error:
        # A bug: another attempt would fail in the same way.
        raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error


def table(schema: str, name: str, columns: Sequence[dg.TableColumn] = ()) -> dict[str, Any]:
    """Return the metadata of a table in PostgreSQL: its name, and its columns if the caller knows them."""
    metadata: dict[str, Any] = {"dagster/table_name": f"{schema}.{name}"}
    if columns:
        metadata["dagster/column_schema"] = dg.TableSchema(columns=columns)
    return metadata


def materialized(receipt: Receipt, schema: str, name: str) -> dg.MaterializeResult[None]:
    """Return the receipt as metadata of the table's asset; the digest of the content, if any, is its data version."""
    version = dg.DataVersion(receipt.digest) if receipt.digest else None
    metadata = metadata_of(receipt) | table(schema, name)
    return dg.MaterializeResult(asset_key=name, metadata=metadata, data_version=version)


def metadata_of(receipt: Receipt) -> dict[str, Any]:
    """Return the receipt as metadata, its number of rows under Dagster's own name."""
    metadata = receipt.to_json()
    # A receipt without a month counts the rows of the whole table. The event itself names the step and the partition.
    counts = "dagster/partition_row_count" if metadata.pop("month", None) else "dagster/row_count"
    if "rows" in metadata:
        metadata[counts] = metadata.pop("rows")
    del metadata["task"]
    return metadata
