"""The case: of three months that are backfilled, the second fails once; it is retried, and the backfill succeeds."""

from __future__ import annotations

import json
import shutil
from typing import Any
from urllib.request import Request, urlopen

from tests.conformance.cases import Case, Expected, Observed
from tests.conformance.retried_month import work
from tests.questions.asking import Asking

PIPELINE = "retried_month"

MONTHS = ("2024-01", work.FAILS, "2024-03")

QUERY = """{ partitionBackfillsOrError(limit: 1) { ... on PartitionBackfills {
  results { status runs(limit: 20) { status tags { key value } } } } } }"""


def observe(asking: Asking) -> Observed:
    """Backfill three months, and return how that ended, which are loaded, and whether the retry was automatic."""
    place = work.folder(asking.bench.lab.settings)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    result = asking.backfill(PIPELINE, MONTHS, {})
    loaded = sorted(path.stem for path in place.glob("*.loaded"))
    if asking.orchestrator == "dagster":
        status, is_automatic = of_dagster(asking)
        # What the lab has retried in its place does not count.
        loaded = [month for month in loaded if is_automatic or month != work.FAILS]
        return {"backfill": status, "loaded": loaded}
    if asking.orchestrator == "prefect":
        (parent,) = asking.runs.newest(f"{PIPELINE}_backfill", 1)
        return {"backfill": parent.state, "loaded": loaded}
    return {"backfill": result.status, "loaded": loaded}


def of_dagster(asking: Asking) -> tuple[str, bool]:
    """Return what Dagster says of its newest backfill, and whether it has retried the run that failed.

    The lab's backfill retries a run that Dagster announced to retry and did not, and so hides what is asked here.
    """
    port = asking.bench.lab.stack(asking.runs.orchestrator).start().ports["web"]
    body = json.dumps({"query": QUERY}).encode()
    request = Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        (backfill,) = json.load(answer)["data"]["partitionBackfillsOrError"]["results"]
    states = {"COMPLETED_SUCCESS": "success", "COMPLETED_FAILED": "failed"}
    failed = [tags_of(run) for run in backfill["runs"] if run["status"] == "FAILURE"]
    return states[backfill["status"]], all("dagster/auto_retry_run_id" in tags for tags in failed)


def tags_of(run: Any) -> dict[str, str]:
    """Return the tags of a run."""
    return {tag["key"]: tag["value"] for tag in run["tags"]}


CASE = Case(
    question="Does a backfill succeed when one of its months fails once and is retried?",
    theme="Backfills",
    report="dagster-io/dagster#34204",
    right=lambda observed: observed == {"backfill": "success", "loaded": list(MONTHS)},
    right_answer="All three months are loaded, and the backfill has succeeded.",
    expected={
        "airflow": Expected("right", "A retry is another attempt of the same run, which the backfill waits for."),
        "dagster": Expected(
            "wrong",
            "A job's backfill ends with its last run, also when a retry is to come, which is then refused; "
            "and a run that failed fails it, also when its retry has succeeded.",
        ),
        "prefect": Expected("right", "A retry is another attempt of the same run, and the parent waits for its end."),
    },
    observe=observe,
    differs="The report is of a backfill of assets, which does look for retries; the case has one of a job of ops.",
    repeat=5,
    why_repeat="Whether the backfill ends before the retry begins depends on which part of the daemon looks first.",
)
