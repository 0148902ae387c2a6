"""Recovery in Dagster: a step is retried in its run's process, and a run is re-executed, as a new one, from failure."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from core.errors import PermanentError
from tests.questions.recovery import work

VERSION = work.version()

MONTHS = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")

AGAIN = dg.RetryPolicy(
    max_retries=3,
    # Waits of 1, 3 and 7 s.
    delay=1,
    backoff=dg.Backoff.EXPONENTIAL,
)


@contextmanager
def permanent() -> Iterator[None]:
    """Fail the step at once for an error that another attempt would meet again. The policy retries any other one."""
    try:
        yield
    except PermanentError as error:
        raise dg.Failure(str(error), allow_retries=False) from error


@dg.op
def fetch(context: dg.OpExecutionContext) -> str:
    """Return the path of the month's file: the IO manager keeps it for whoever starts at the step after it."""
    with permanent():
        return work.fetch(context.partition_key, VERSION)


@dg.op
def load(context: dg.OpExecutionContext, file: str) -> int:
    """Load the month."""
    with permanent():
        return work.load(context.partition_key, file, "dagster", VERSION)


@dg.op
def report(context: dg.OpExecutionContext, rows: int) -> None:
    """Report on the month."""
    with permanent():
        work.report(context.partition_key, rows, VERSION)


@dg.job(partitions_def=MONTHS, op_retry_policy=AGAIN)
def recover() -> None:
    report(load(fetch()))


@dg.op
def write(context: dg.OpExecutionContext) -> int:
    """Write one month."""
    return work.write(context.partition_key, "dagster")


@dg.job(
    partitions_def=MONTHS,
    # Of the whole run. Run monitoring looks at it, every 120 s by default, and nothing does where that is off.
    tags={"dagster/max_runtime": str(work.TIMEOUT_S)},
)
def timed() -> None:
    write()


defs = dg.Definitions(jobs=[recover, timed])
