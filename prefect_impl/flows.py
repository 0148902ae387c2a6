"""The pipeline as Prefect flows: `taxi_pipeline` loads one month, `backfill` runs it for each of many months.

Prefect has no native backfill: the parent flow *is* the backfill, in the open. A month is a flow run of its own, made
from a deployment, so it has its own state, history, retry button and process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import httpx
from prefect import State, Task, flow, runtime, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.deployments import arun_deployment
from prefect.futures import wait
from prefect.states import Completed, Failed
from pydantic import PositiveInt

from core import pipeline
from core.errors import RETRIES, RETRY_DELAY_S, TransientError
from core.month import Month
from core.run import Receipt, Run, RunParameters, counted
from core.waiting import PATIENCE_S, patiently
from prefect_impl.selection import Which, past_runs, select

Warnings = tuple[str, ...]

POLL_S = 1.0
"""How often a backfill asks for a month's state: Prefect's own 5 s is as long as a small month takes."""


def is_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed attempt is worth another: only the pipeline's own `TransientError` is."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


def step(function: Callable[..., Warnings]) -> Task[..., Warnings]:
    """Make a task with what all four steps share."""
    return task(
        retries=RETRIES,
        retry_delay_seconds=RETRY_DELAY_S,
        retry_condition_fn=is_transient,
        # A cache answers from a key and never looks at the table: it would skip a month whose table was dropped or
        # whose file was replaced. The load ledger knows, and answers `unchanged` in milliseconds.
        cache_policy=NO_CACHE,
        persist_result=False,  # the receipt is an artifact: see `recorded`
    )(function)


def keep(key: str, receipt: Receipt) -> None:
    """Create the artifact; raise `TransientError` when the server does not answer: the client is new, and does not repeat a call."""
    try:
        create_table_artifact([receipt.to_json()], key=key)
    except httpx.TransportError as error:
        raise TransientError(f"Prefect's server does not answer: {error!r}") from error


def recorded(receipt: Receipt) -> Warnings:
    """Keep `receipt` with the task run as an artifact: in the database, on the run's page, and versioned by its key."""
    key = "-".join(filter(None, (receipt.task, receipt.month))).replace("_", "-")
    patiently(lambda: keep(key, receipt), PATIENCE_S)
    return receipt.warnings


@step
def ingest_zones(run: Run) -> Warnings:
    """Load the zone lookup."""
    return recorded(pipeline.ingest_zones(run))


@step
def ingest_month(run: Run, month: Month) -> Warnings:
    """Load the month's file."""
    return recorded(pipeline.ingest_month(run, month))


@step
def transform(run: Run, month: Month) -> Warnings:
    """Bring the dbt models up to date."""
    return recorded(pipeline.transform(run, month))


@step
def check(run: Run, month: Month) -> Warnings:
    """Report the month's data tests."""
    return recorded(pipeline.check(run, month))


@flow(name="taxi_pipeline", persist_result=False)
def taxi_pipeline(month: str, parameters: RunParameters) -> State[None]:
    """Load one month and bring the models up to date. Raises the first error of a step; counts warnings in its state."""
    run, partition = Run.of(asdict(parameters), "prefect", str(runtime.flow_run.id)), Month.parse(month)
    zones = ingest_zones.submit(run)
    trips = ingest_month.submit(run, partition)
    built = transform.submit(run, partition, wait_for=[zones, trips])
    tested = check.submit(run, partition, wait_for=[built])
    steps = [zones, trips, built, tested]
    wait(steps)
    # in this order: a cause is raised before the NotReady of a step that waited for it
    warnings = [line for each in steps for line in each.result()]
    return Completed(message=f"success, {counted(len(warnings), 'warning')}" if warnings else None)


@flow(name="backfill", persist_result=False)
async def backfill(
    months: list[str], parameters: RunParameters, which: Which = "missing", jobs: PositiveInt = 2
) -> State[None]:
    """Run `taxi_pipeline` for `which` of `months`, `jobs` at a time. Fails at the end when a month failed."""
    chosen = select(months, which, {} if which == "all" else await past_runs(taxi_pipeline.name, parameters))
    slots = asyncio.Semaphore(jobs)

    async def one(month: str) -> str:
        async with slots:
            return (await run_month(month, parameters)).state_name or "unknown"

    ends = await asyncio.gather(*map(one, chosen), return_exceptions=True)  # an exception holds back no other month
    failed = [f"{month} ({end})" for month, end in zip(chosen, ends, strict=True) if end != "Completed"]
    if failed:
        return Failed(message=f"{len(failed)} of {len(chosen)} months failed: {', '.join(failed)}")
    return Completed(message=f"{len(chosen)} of {len(months)} months run")


async def run_month(month: str, parameters: RunParameters) -> FlowRun:
    """Make a run of the deployment `taxi_pipeline` and wait for its end; make another when its process was killed.

    A killed process can't use up its task's retries, so it is the parent that grants as many.
    """
    for attempt in range(1 + RETRIES):
        run = await arun_deployment(
            "taxi_pipeline/triptych",
            parameters={"month": month, "parameters": asdict(parameters)},
            flow_run_name=f"{parameters.schema} {month}",
            # a backfill that is run again after a crash of its own finds its months, and does not start them twice
            idempotency_key=f"{runtime.flow_run.id}:{month}:{attempt}",
            poll_interval=POLL_S,
        )
        if run.state_type != "CRASHED":
            break
    return run
