"""What the tasks of both DAGs share: options, parameters, assets, and how a step's receipt and error are passed on.

The DAG processor imports this module again and again, so it does no work and imports nothing heavy.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from airflow.sdk import Asset, ExceptionRetryPolicy, Param, RetryAction, RetryRule

from core.errors import RETRIES, RETRY_DELAY_S, TransientError, TriptychError
from core.month import Month
from core.run import CHOICES, HELP, TASK_TIMEOUT_S, Receipt, Run, RunParameters
from core.settings import default_source

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import OutletEventAccessors as Events
    from airflow.sdk.types import DagRunProtocol as DagRun

P = ParamSpec("P")
T = TypeVar("T")

ONLY_TRANSIENT = ExceptionRetryPolicy(
    [RetryRule(TransientError, reason="a transient error: another attempt may succeed")], default=RetryAction.FAIL
)
"""Retry what may succeed the next time, and a process that was killed. Other exceptions and time-outs fail at once."""

# Not postgres://host/database/schema/table: only a run knows its database, and its schema, which each event's extra
# names. Airflow leaves a URI whose scheme begins with "x-" as it is, whichever providers are installed.
RAW_ZONES = Asset("raw_zones", uri="x-triptych://warehouse/raw_zones")
RAW_TRIPS = Asset("raw_trips", uri="x-triptych://warehouse/raw_trips")
FCT_TRIPS = Asset("fct_trips", uri="x-triptych://warehouse/fct_trips")
DAILY_BOROUGH_STATS = Asset("daily_borough_stats", uri="x-triptych://warehouse/daily_borough_stats")

REQUIRED = {
    "source": Param(
        default_source(), type="string", minLength=1, examples=["sample", "tlc"], description=HELP["source"]
    ),
    "schema": Param("airflow", type="string", minLength=1, description=HELP["schema"]),
}
"""The run parameters that have no default of their own."""


def form_field(name: str, default: Any) -> Param:
    """Return a run parameter as the form shows it: a choice, a switch, or a text."""
    if choices := CHOICES.get(name):
        return Param(default, type="string", enum=list(choices), description=HELP[name])
    return Param(default, type="boolean" if isinstance(default, bool) else "string", description=HELP[name])


RUN_PARAMS = REQUIRED | {
    each.name: form_field(each.name, each.default) for each in fields(RunParameters) if each.name not in REQUIRED
}
"""The fields of `core.run.RunParameters`, as the trigger form shows them. Scheduled runs use the defaults."""

DEFAULT_ARGS = {
    "owner": "triptych",
    "retries": RETRIES,
    "retry_delay": dt.timedelta(seconds=RETRY_DELAY_S),
    "retry_policy": ONLY_TRANSIENT,
    "execution_timeout": dt.timedelta(seconds=TASK_TIMEOUT_S),
}
"""The options of every task."""


def run_of(params: Mapping[str, Any], dag_run: DagRun) -> Run:
    """Return the run as the pipeline takes it."""
    parameters = {name: value for name, value in params.items() if name not in ("month", "months")}
    return Run.of(parameters, "airflow", dag_run.run_id)


def xcom(receipt: Receipt, run: Run, month: Month, outlet_events: Events, *tables: Asset) -> dict[str, Any]:
    """Return the receipt as an XCom; add to each table's event its month, its schema, and whether the table changed."""
    for table in tables:
        event = outlet_events[table]
        event.extra = {"schema": run.schema, "state": receipt.state}
        # The run's own key, except where the run has its month from the param and no key
        event.add_partitions(str(month))
    return receipt.to_json()


def cause_only(step: Callable[P, T]) -> Callable[P, T]:
    """Raise a step's error of ours without the frames below it: a task's log opens at its end, where the message is.

    Its class stays as it is, and decides on a retry. An error that is a bug keeps its frames.
    """

    @wraps(step)
    def task_function(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return step(*args, **kwargs)
        except TriptychError as error:
            raise error.with_traceback(None) from None

    return task_function
