"""Airflow's side of the runner contract. A backfill goes through the backfill API, over native monthly partitions."""

from __future__ import annotations

import datetime as dt
import math
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from itertools import pairwise, takewhile

from airflow_impl.lab import history
from airflow_impl.lab.client import FINAL, Airflow, Json
from airflow_impl.lab.services import base_url, services
from core.lab.protocol import (
    BackfillRequest,
    BackfillResult,
    Description,
    Endpoint,
    MonthRecord,
    Progress,
    Services,
    canceled_with_us,
    month_record,
    serve,
)
from core.month import Month
from core.waiting import until

CAPABILITIES = ["services", "web", "detached_backfills", "survives_worker_kill"]
LACKS = {"concurrent_backfills": "Airflow has one active backfill for a DAG, so a second one waits."}

READY_S = 180
"""For the scheduler's and the DAG processor's first heartbeats: 2 s after the API server, 60 s on a busy machine."""

POLL_S = 0.5
"""How often a backfill is looked at: 0.02 CPU s of the API server each time."""


def describe(_: Json, __: Progress) -> Description:
    """Who this is."""
    return Description("airflow", "Apache Airflow", version("apache-airflow"), CAPABILITIES, ["api"], LACKS)


def start(data: Json, _: Progress) -> Services:
    """How to bring the services up."""
    return services(Endpoint.from_json(data))


def ready(data: Json, _: Progress) -> Json:
    """Return when scheduler and DAG processor beat and the DAG is there."""

    with Airflow(base_url(Endpoint.from_json(data))) as airflow:
        until(lambda: airflow.ready() or None, READY_S, POLL_S, "Airflow's services")
    return {}


def backfill(data: Json, progress: Progress) -> BackfillResult:
    """Run the months through Airflow's backfill API, one contiguous stretch of months after the other."""
    started = time.monotonic()
    request = BackfillRequest.from_json(data)
    months = [Month.parse(text) for text in request.months]
    records = {month: too_early(month) for month in months if not begun(month)}
    with Airflow(base_url(Endpoint.from_json(request.endpoint))) as airflow:
        # A month drops out of its backfill when another run of it starts at the same instant: it is asked for again
        while left := [month for month in months if month not in records]:
            records |= run(airflow, first_stretch(left), request, progress)
    return BackfillResult.of(version("apache-airflow"), started, [records[month] for month in months])


def run(
    airflow: Airflow, months: Sequence[Month], request: BackfillRequest, progress: Progress
) -> dict[Month, MonthRecord]:
    """Backfill contiguous months; give the records of those that Airflow made a run for."""

    def start() -> Json | None:
        return airflow.start_backfill(months, request.jobs, request.parameters)

    def over() -> dict[Month, MonthRecord] | None:
        runs = airflow.runs_of(backfill, months)
        for month, one in runs.items():
            if one["state"] in FINAL and month not in records:
                records[month] = history.record(airflow, one)
                airflow.note(one, records[month])
            state = records[month].state if month in records else "running" if one["start_date"] else "waiting"
            progress(str(month), state, record=records.get(month))
        return records if records.keys() == runs.keys() else None

    records: dict[Month, MonthRecord] = {}
    span = f"{months[0]}..{months[-1]}"
    backfill = until(start, math.inf, POLL_S, f"another backfill of the DAG, before {span}")
    with canceled_with_us(lambda: airflow.close_backfill(backfill)):
        until(over, math.inf, POLL_S, f"Airflow's backfill {backfill['id']} of {span}")
    airflow.close_backfill(backfill)
    return records


def first_stretch(months: Sequence[Month]) -> Sequence[Month]:
    """The contiguous months that `months` opens with, forwards or backwards: a backfill of Airflow is a range."""
    forwards = list(takewhile(lambda pair: pair[0].next() == pair[1], pairwise(months)))
    backwards = list(takewhile(lambda pair: pair[1].next() == pair[0], pairwise(months)))
    return months[: 1 + max(len(forwards), len(backwards))]


def begun(month: Month) -> bool:
    """Whether the month has begun (UTC). Airflow leaves the run of a later one queued until it does."""
    return month.first_day <= dt.datetime.now(dt.UTC).date()


def too_early(month: Month) -> MonthRecord:
    """The record of a month that has not begun."""
    return month_record(str(month), [], {}, f"{month} has not begun: ask for it when the publisher has it")


VERBS = {"describe": describe, "services": start, "ready": ready, "backfill": backfill}

if __name__ == "__main__":
    sys.exit(serve(VERBS))
