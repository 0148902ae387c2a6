"""The pipeline as Prefect flows: `taxi_pipeline` loads one month, and `backfill` runs it for each of many months.

Prefect has no backfill of its own, so the parent flow is the backfill. Each month is a run of a deployment: it has its
own state, history, retry button, and process.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import Annotated, Any

from prefect import State, Task, flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.deployments import arun_deployment
from prefect.states import Completed, Failed
from pydantic import AfterValidator, PositiveInt

from core import pipeline
from core.errors import RETRIES, RETRY_DELAY_S, TransientError, TriptychError
from core.month import Month
from core.run import JOBS, TASK_TIMEOUT_S, Receipt, Run, RunParameters, counted
from core.settings import default_source
from prefect_impl.naming import MONTH_NAME, backfill_name, tag
from prefect_impl.receipts import failures, recorded
from prefect_impl.selection import Which, past_runs, select

# PREFECT_LOGGING_EXTRA_LOGGERS sends what `core` logs to the task run's log, and leaves Python's level of WARNING.
logging.getLogger("core").setLevel(logging.INFO)

MonthText = Annotated[str, AfterValidator(lambda text: str(Month.parse(text)))]
"""A month as a form takes it. A wrong one fails the run before its first step."""

POLL_S = 0.25
"""How often a backfill asks for a month's state: Prefect's default of 5 s is as long as a small month takes."""


def default_parameters() -> dict[str, Any]:
    """Return those run parameters of a deployment that have no default; `prefect deploy` calls this as a build step."""
    return {"source": default_source(), "schema": "prefect"}


def is_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether a failed attempt is worth another: only the pipeline's own `TransientError` is."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


STEP: dict[str, Any] = {
    "retries": RETRIES,
    "retry_delay_seconds": RETRY_DELAY_S,
    "retry_condition_fn": is_transient,
    "timeout_seconds": TASK_TIMEOUT_S,
    # A cache answers from a key and never looks at the table: it would skip a month whose table was dropped or whose
    # file was replaced. The load ledger knows, and answers `unchanged` in milliseconds.
    "cache_policy": NO_CACHE,
    # What a step did is kept as an artifact: see `receipts.py`.
    "persist_result": False,
}
"""The options that all tasks share."""


@task(**STEP)
def ingest_zones(run: Run) -> Receipt:
    """Load the zone lookup."""
    with failures():
        return recorded(run.schema, pipeline.ingest_zones(run))


@task(**STEP)
def ingest_month(run: Run, month: Month) -> Receipt:
    """Load the month's file."""
    with failures():
        return recorded(run.schema, pipeline.ingest_month(run, month))


@task(**STEP)
def pending(run: Run, month: Month) -> tuple[str, ...]:
    """Return why the models have to be built and checked for the month; nothing when they need not."""
    with failures():
        return pipeline.pending(run, month)


@task(**STEP)
def transform(run: Run, month: Month) -> Receipt:
    """Bring the dbt models up to date."""
    with failures():
        return recorded(run.schema, pipeline.transform(run, month))


@task(**STEP)
def check(run: Run, month: Month) -> Receipt:
    """Report the month's data tests."""
    with failures():
        return recorded(run.schema, pipeline.check(run, month))


@task(**STEP)
def report(run: Run, month: Month, built: bool) -> Receipt:
    """Report on the month in one line, whether it was built or skipped."""
    with failures():
        return recorded(run.schema, pipeline.report(run, month, built))


@flow(name="taxi_pipeline", flow_run_name=MONTH_NAME, on_running=[tag], persist_result=False)
def taxi_pipeline(month: MonthText, parameters: RunParameters) -> State[None]:
    """Load one month of taxi trips into PostgreSQL and bring its dbt models up to date.

    Args:
        month: The month to load, as in 2024-01
        parameters: Where the month is read and written, and how
    """
    run = Run.of(asdict(parameters), "prefect", str(runtime.flow_run.id))
    try:
        receipts = run_steps(run, Month.parse(month))
    except TriptychError as error:
        # Raised, it would fill the first page of the run's log with a traceback. A bug does.
        return Failed(message=str(error))
    return Completed(message=summary(receipts))


def summary(receipts: list[Receipt]) -> str | None:
    """Return what the list of runs says of a month that ended well: what was skipped, and how many warnings it has."""
    skipped = "transform and check skipped" if "transform" not in [receipt.task for receipt in receipts] else None
    warnings = sum(len(receipt.warnings) for receipt in receipts)
    notes = [skipped, counted(warnings, "warning") if warnings else None]
    return ", ".join(["success", *filter(None, notes)]) if any(notes) else None


def run_steps(run: Run, month: Month) -> list[Receipt]:
    """Run the tasks of a month and return their receipts; raise the error of the first that failed."""
    # The tasks are called, not submitted: in a thread a time-out interrupts nothing (see README.md).
    # The month comes first: it does not wait while another run of the schema loads the zones.
    trips = ingest_month(run, month, return_state=True)
    zones = ingest_zones(run, return_state=True)
    # `result` raises the error of a step that failed, and the steps after it are then not created. One that was
    # submitted to wait for it would stay NotReady, which is never final.
    receipts = [zones.result(), trips.result()]
    reasons = pending(run, month, wait_for=[zones, trips], return_state=True)
    last: State[Any] = reasons
    # A branch is an `if`: a task that is not called has no run.
    if needed := bool(reasons.result()):
        built = transform(run, month, wait_for=[reasons], return_state=True)
        receipts.append(built.result())
        last = check(run, month, wait_for=[built], return_state=True)
        receipts.append(last.result())
    return [*receipts, report(run, month, needed, wait_for=[last])]


@flow(name="backfill", flow_run_name=backfill_name, on_running=[tag], persist_result=False)
async def backfill(
    months: list[MonthText], parameters: RunParameters, which: Which = "missing", concurrency: PositiveInt = JOBS
) -> State[None]:
    """Run `taxi_pipeline` for many months, and fail at the end when a month failed.

    Args:
        months: The months to choose from, as in 2024-01
        parameters: Where the months are read and written, and how
        which: All of them, those that no run has completed, or those whose last run failed
        concurrency: How many months run at a time
    """
    chosen = select(months, which, {} if which == "all" else await past_runs(taxi_pipeline.name, parameters))
    slots = asyncio.Semaphore(concurrency)

    async def one(month: str) -> State[Any] | None:
        async with slots:
            return (await run_month(month, parameters)).state

    # An exception of one month holds back no other.
    ends = dict(zip(chosen, await asyncio.gather(*map(one, chosen), return_exceptions=True), strict=True))
    failed = [f"{month}: {cause(end)}" for month, end in ends.items() if cause(end)]
    if failed:
        return Failed(message=f"{len(failed)} of {counted(len(chosen), 'month')} failed: {'; '.join(failed)}")
    return Completed(message=f"{len(chosen)} of {counted(len(months), 'month')} run")


def cause(end: State[Any] | BaseException | None) -> str | None:
    """Return why a month's run did not complete, or None if it did."""
    if isinstance(end, State):
        return None if end.is_completed() else end.message or end.name
    return str(end or "no state")


async def run_month(month: str, parameters: RunParameters) -> FlowRun:
    """Run the deployment `taxi_pipeline` and wait for its end; run it again when its process was killed.

    A killed process cannot use its tasks' retries, so the parent grants as many.
    """
    for attempt in range(1 + RETRIES):
        run = await arun_deployment(
            "taxi_pipeline/triptych",
            parameters={"month": month, "parameters": asdict(parameters)},
            flow_run_name=MONTH_NAME.format(parameters=parameters, month=month),
            tags=[parameters.schema, month],
            # A backfill that is run again after a crash of its own finds its months, and does not start them twice.
            idempotency_key=f"{runtime.flow_run.id}:{month}:{attempt}",
            poll_interval=POLL_S,
        )
        if run.state_type != "CRASHED":
            break
    return run
