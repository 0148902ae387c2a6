"""The flow `taxi_range`: a range of months as one run, whose months are mapped tasks.

`prefect_impl.flows.backfill` is the other form, with a run for each month.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from prefect import State, flow, runtime, task, unmapped
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import AfterValidator

from core.errors import TriptychError
from core.month import Month, parse_months, spans
from core.run import JOBS, Run, RunParameters, counted
from prefect_impl.flows import run_steps
from prefect_impl.naming import RANGE_NAME, tag

MonthsText = Annotated[str, AfterValidator(lambda text: spans(map(str, parse_months(text))))]
"""Months as a form takes them, such as 2024-01..2024-03."""

THREADS: Any = ThreadPoolTaskRunner(max_workers=JOBS)
"""As many months at a time as a backfill. A step that is called in a thread can't be interrupted by its time-out."""


@task(task_run_name="{month}", cache_policy=NO_CACHE, persist_result=False)
def month_steps(run: Run, month: Month) -> State[None]:
    """Run the steps of one month: each is a task run of its own, with retries of its own."""
    try:
        run_steps(run, month)
    except TriptychError as error:
        return Failed(message=str(error))
    return Completed()


@flow(name="taxi_range", flow_run_name=RANGE_NAME, on_running=[tag], persist_result=False, task_runner=THREADS)
def taxi_range(months: MonthsText, parameters: RunParameters) -> State[None]:
    """Load a range of months in one run; a month that fails holds back no other.

    Args:
        months: The months to load, as in 2024-01..2024-03
        parameters: Where the months are read and written, and how
    """
    run, chosen = Run.of(asdict(parameters), "prefect", str(runtime.flow_run.id)), parse_months(months)
    ends = month_steps.map(unmapped(run), chosen, return_state=True)
    failed = [f"{month}: {end.message}" for month, end in zip(chosen, ends, strict=True) if not end.is_completed()]
    if failed:
        return Failed(message=f"{len(failed)} of {counted(len(chosen), 'month')} failed: {'; '.join(failed)}")
    return Completed(message=f"{counted(len(chosen), 'month')} run")
