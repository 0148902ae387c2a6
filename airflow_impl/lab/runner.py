"""Airflow's runner: it answers the runner protocol (`core.lab.protocol`), and leaves all work to Airflow's services."""

from __future__ import annotations

import datetime as dt
import sys
import time
from importlib.metadata import version

from airflow_impl.lab import backfill as native
from airflow_impl.lab import runs as single
from airflow_impl.lab import schedules
from airflow_impl.lab import services as stack
from airflow_impl.lab.client import Airflow, Json
from core.lab.protocol import (
    BackfillRequest,
    BackfillResult,
    Description,
    Endpoint,
    MonthRecord,
    Progress,
    Services,
    further,
    month_record,
    run_range,
    run_verbs,
    schedule_verbs,
    serve,
)
from core.month import Month
from core.waiting import until

CAPABILITIES = ["services", "web", "detached_backfills", "one_run", "survives_worker_kill"]
LACKS = {"concurrent_backfills": "Airflow allows a DAG one active backfill, so a second one waits."}

READY_S = 180
"""How long the first heartbeats may take: they came 2 s after the API server, and 60 s after it on a busy machine."""


def describe(_: Json, __: Progress) -> Description:
    """Return who this is and what it can do."""
    installed = version("apache-airflow")
    return Description(
        "airflow",
        "Apache Airflow",
        installed,
        CAPABILITIES,
        ["api"],
        LACKS,
        stack.pipelines(),
        tuned=stack.tuned(),
        guards=stack.guards(),
        scalable=stack.SCALABLE,
    )


def services(request: Json, _: Progress) -> Services:
    """Return what to start, and in which order."""
    return stack.services(Endpoint.from_json(request))


def ready(request: Json, _: Progress) -> Json:
    """Return when all services are healthy and every DAG is registered."""
    dags = [pipeline.name for pipeline in stack.pipelines()]
    parts = ["metadatabase", "scheduler", "dag_processor", *(["triggerer"] if further.packages() else [])]
    schedulers = Endpoint.from_json(request).scale.get(stack.SCHEDULER, 1)
    with connected(request) as airflow:
        until(lambda: airflow.ready(parts, dags, schedulers) or None, READY_S, native.POLL_S, "Airflow's services")
    return {}


def backfill(request: Json, progress: Progress) -> BackfillResult:
    """Run the months through Airflow's backfill API, one contiguous stretch of months after the other."""
    started, wanted = time.monotonic(), BackfillRequest.from_json(request)
    if wanted.mode == "one-run":
        with connected(wanted.endpoint) as airflow:
            return BackfillResult.of(version("apache-airflow"), started, run_range(airflow, single, wanted, progress))
    months = [Month.parse(text) for text in wanted.months]
    records = {month: too_early(month) for month in months if not begun(month)}
    left = [month for month in months if month not in records]
    with connected(wanted.endpoint) as airflow:
        while left:
            stretch = native.first_stretch(left)
            if wanted.which == "all" or not native.is_empty(airflow, stretch, wanted):
                records |= native.run(airflow, stretch, wanted, progress)
            # A month gets no run if another run of it starts at the same instant: then it is asked for again.
            passed_over = stretch if wanted.which != "all" else ()
            left = [month for month in left if month not in records and month not in passed_over]
    return BackfillResult.of(
        version("apache-airflow"), started, [records[month] for month in months if month in records]
    )


def connected(endpoint: Json) -> Airflow:
    """Return a client of the API server that is at `endpoint`."""
    return Airflow(stack.base_url(Endpoint.from_json(endpoint)))


def begun(month: Month) -> bool:
    """Return whether the month has begun (UTC). Airflow leaves the run of a later month queued until it does."""
    return month.first_day <= dt.datetime.now(dt.UTC).date()


def too_early(month: Month) -> MonthRecord:
    """Return the record of a month that has not begun."""
    return month_record(str(month), [], {}, f"{month} has not begun: ask for it when the publisher has it")


if __name__ == "__main__":
    verbs = (describe, services, ready, backfill)
    of_runs, of_schedules = run_verbs(connected, single, native.POLL_S), schedule_verbs(connected, schedules)
    sys.exit(serve({verb.__name__: verb for verb in verbs} | of_runs | of_schedules))
