"""One backfill of contiguous months: start it, follow its runs, and record its months."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise, takewhile

from airflow_impl.lab import history
from airflow_impl.lab import runs as single
from airflow_impl.lab import services as stack
from airflow_impl.lab.client import DAG, FINAL, Airflow, Json
from core.lab.protocol import BackfillRequest, MonthRecord, Progress, Which, canceled_with_us, month_of_run
from core.month import Month
from core.waiting import patiently, until

POLL_S = 0.5
"""The pause between two looks at a backfill: each costs the API server 0.02 CPU s."""

REPROCESS: dict[Which, str] = {"all": "completed", "failed": "failed", "missing": "none"}
"""What Airflow calls the months that are wanted. Its ``failed`` are those without a run, too."""

Records = dict[Month, MonthRecord]
"""What Airflow recorded of the months whose runs are over."""


def run(airflow: Airflow, months: Sequence[Month], request: BackfillRequest, progress: Progress) -> Records:
    """Backfill contiguous months; return the records of those for which Airflow made a run."""
    span = f"{months[0]}..{months[-1]}"
    waiting_for = f"another backfill of the DAG, before {span}"
    backfill = until(lambda: start(airflow, months, request), math.inf, POLL_S, waiting_for)
    with canceled_with_us(lambda: airflow.cancel_backfill(backfill)):
        return follow(airflow, backfill, months, progress)


def asked(months: Sequence[Month], request: BackfillRequest) -> Json:
    """Return the body of the request for a backfill of contiguous months."""
    return {
        "dag_id": request.pipeline,
        "from_date": f"{min(months).first_day}T00:00:00Z",
        "to_date": f"{max(months).first_day}T00:00:00Z",
        "run_backwards": months[0] > months[-1],
        "max_active_runs": request.jobs,
        "reprocess_behavior": REPROCESS[request.which],
        "dag_run_conf": request.parameters,
    }


def is_empty(airflow: Airflow, months: Sequence[Month], request: BackfillRequest) -> bool:
    """Return whether Airflow would run none of the months; it refuses such a backfill."""
    return not airflow.call("POST", "/backfills/dry_run", json=asked(months, request)).json()["backfills"]


def start(airflow: Airflow, months: Sequence[Month], request: BackfillRequest) -> Json | None:
    """Create a backfill of contiguous months; return None while another one or another run of these months is active.

    Airflow allows a DAG one active backfill at a time (409), and makes no run of a partition whose newest run is not
    over. With ``completed`` it makes a new run, with the new conf, beside the runs that are over, and leaves those as
    they are.

    The response to an attempt may have been lost although Airflow received it. The backfill that it created is newer
    than all that were known before.
    """
    if airflow.runs(months, request.pipeline, state=["queued", "running"]):
        return None
    known = [one["id"] for one in airflow.backfills(request.pipeline)]
    body = asked(months, request)

    def create() -> Json | None:
        new = [one for one in airflow.backfills(request.pipeline) if one["id"] not in known]
        if ours := [one for one in new if one["dag_run_conf"] == body["dag_run_conf"]]:
            return ours[0]
        return airflow.create_backfill(body)

    return patiently(create, airflow.patience_s)


def follow(airflow: Airflow, backfill: Json, months: Sequence[Month], progress: Progress) -> Records:
    """Report the months' states until every run of the backfill is over; return their records."""
    records: Records = {}

    def look() -> Records | None:
        runs = runs_of(airflow, backfill, months)
        attempts = history.attempts(airflow, [one for one in runs.values() if one["state"] == "running"])
        for month, one in runs.items():
            if one["state"] in FINAL and month not in records:
                records[month] = record_of(airflow, one)
                airflow.note(one, records[month])
            state = records[month].state if month in records else "running" if one["start_date"] else "waiting"
            progress(str(month), state, record=records.get(month), under_way=attempts.get(str(month), {}))
        return records if records.keys() == runs.keys() else None

    return until(look, math.inf, POLL_S, f"Airflow's backfill {backfill['id']} of {months[0]}..{months[-1]}")


def record_of(airflow: Airflow, run: Json) -> MonthRecord:
    """Return what Airflow recorded of a month's run that is over, of any pipeline."""
    if run["dag_id"] == DAG:
        return history.record(airflow, run)
    (pipeline,) = (each for each in stack.pipelines() if each.name == run["dag_id"])
    return month_of_run(single.observed(airflow, run["dag_id"], run["dag_run_id"]), pipeline)


def runs_of(airflow: Airflow, backfill: Json, months: Sequence[Month]) -> dict[Month, Json]:
    """Return a backfill's runs by month. A run does not name its backfill, but has its conf and was updated since."""
    runs = airflow.runs(months, backfill["dag_id"], run_type="backfill", updated_at_gte=backfill["created_at"])
    ours = [run for run in runs if run["conf"] == backfill["dag_run_conf"]]
    return {Month.parse(run["partition_key"]): run for run in reversed(ours)}


def first_stretch(months: Sequence[Month]) -> Sequence[Month]:
    """Return the contiguous months at the head of `months`, forwards or backwards: Airflow backfills only a range."""
    forwards = list(takewhile(lambda pair: pair[0].next() == pair[1], pairwise(months)))
    backwards = list(takewhile(lambda pair: pair[1].next() == pair[0], pairwise(months)))
    return months[: 1 + max(len(forwards), len(backwards))]
