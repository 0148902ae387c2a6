"""A range of months as one mapped run, beside a run for each month: what is lost of retry, history and cancel?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shutil import copy
from typing import Any

from core.errors import PermanentError
from core.extract import sample
from core.lab.protocol import TAXI_PIPELINE, TAXI_RANGE, BackfillResult, RunRecord
from core.lab.registry import BASELINE
from core.month import Month
from core.waiting import until
from tests.contract.bench import MONTHS, Schema
from tests.publisher import Publisher
from tests.questions.asking import Answers, Asking, How, Question, Row
from tests.questions.dynamic.pipelines import PIPELINES, SINGLE_RUN

THREE = MONTHS[:3]
FIRST, BAD, SHAKY = THREE
"""Of the three months, the file of the second is missing, and that of the third is refused once, in the rows that say
so."""

PATIENCE_S = 240.0
"""How long anything that must happen may take, on a busy machine."""


LOADS = (TAXI_RANGE.main, PIPELINES[0].main)
"""The steps that load a month, or all of them."""


@dataclass(frozen=True)
class Troubled:
    """A backfill in which one month failed, and what became of it when the file had come."""

    schema: Schema
    result: BackfillResult
    loaded: list[str]
    runs: list[RunRecord]
    retried: dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One orchestrator and one mode, and the backfills that several rows look at."""

    asking: Asking
    mode: str

    @property
    def pipeline(self) -> str:
        """The pipeline whose runs do the work of this mode."""
        return {"runs": TAXI_PIPELINE.name, "one-run": TAXI_RANGE.name}.get(self.mode, self.mode)

    def backfill(self, source: Path | str, schema: Schema) -> BackfillResult:
        """Backfill the three months."""
        if self.mode == SINGLE_RUN:
            return self.asking.backfill(SINGLE_RUN, THREE, {"source": str(source), "schema": schema})
        return self.asking.bench.backfill(self.asking.orchestrator, THREE, source, schema, mode=self.mode)

    def runs_since(self, instant: dt.datetime) -> list[RunRecord]:
        """Return the runs of the mode's pipeline that were created since then."""
        newest = self.asking.runs.newest(self.pipeline)
        return [run for run in newest if run.created_at and dt.datetime.fromisoformat(run.created_at) >= instant]

    def identical(self, schema: Schema) -> str:
        """Return whether the tables are those that the baseline makes of the three months."""
        bench = self.asking.bench
        return "identical" if bench.tables(schema) == bench.baseline(bench.folder, THREE) else "different"

    @cached_property
    def whole(self) -> Schema:
        """Three months without a fault."""
        schema = self.asking.bench.schema()
        result = self.backfill(self.asking.bench.folder, schema)
        if result.status != "success":
            raise PermanentError(f"{self.mode}: {[month.error for month in result.months]}")
        return schema

    @cached_property
    def troubled(self) -> Troubled:
        """Three months with two faults; then the missing file comes, and what failed is retried."""
        bench, began = self.asking.bench, dt.datetime.now(dt.UTC)
        schema, folder = bench.schema(), bench.copy_of(bench.folder)
        missing = sample.file_name(Month.parse(BAD))
        (folder / missing).unlink()
        with Publisher(folder) as site:
            site.fail(SHAKY, status=503)
            result = self.backfill(site.url, schema)
            loaded, runs = sorted(bench.ledger(schema)), self.runs_since(began)
            copy(bench.folder / missing, folder)
            retried = self.retry(next(run for run in runs if run.state == "failed"))
        return Troubled(schema, result, loaded, runs, retried)

    def retry(self, failed: RunRecord) -> dict[str, Any]:
        """Retry what failed of a run as its page does; return where that is done, and which months are loaded again."""
        began, runs = dt.datetime.now(dt.UTC), self.asking.runs
        run_id = runs.retry(self.pipeline, failed.run_id)
        record = runs.observe(self.pipeline, run_id, wait_s=PATIENCE_S)
        return {
            "in": "the same run" if run_id == failed.run_id else "a new run",
            "loads": months_begun(record, began),
            "ends": record.state,
        }


def months_begun(run: RunRecord, since: dt.datetime) -> list[str]:
    """Return the months whose load has begun since then: the run's own month, or else the label of a mapped step."""
    began = [
        run.partition or task.task.partition("[")[2].rstrip("]") or "all of them"
        for task in run.tasks
        if task.task.partition("[")[0] in LOADS and task.started_at
        if dt.datetime.fromisoformat(task.started_at) >= since
    ]
    return sorted(set(began))


def tables(trial: Trial) -> str:
    """The tables of three months without a fault."""
    return trial.identical(trial.whole)


def history(trial: Trial) -> dict[str, Any]:
    """What the history has of the three months, and of the last one, which ended well."""
    runs = trial.troubled.runs
    tasks = [task for run in runs for task in trial.asking.runs.observe(trial.pipeline, run.run_id).tasks]
    steps = [task for task in tasks if task.task.partition("[")[0] in TAXI_RANGE.tasks]
    return {
        "runs": len(runs),
        f"runs of {SHAKY}": sum(run.partition == SHAKY for run in runs),
        f"steps labeled {SHAKY}": sum(step.task.endswith(f"[{SHAKY}]") for step in steps),
    }


def loaded(trial: Trial) -> list[str]:
    """Which months are loaded when one has no file."""
    return trial.troubled.loaded


def states(trial: Trial) -> dict[str, str]:
    """How the months ended when one has no file."""
    return {month.month: month.state for month in trial.troubled.result.months}


def attempts(trial: Trial) -> dict[str, int]:
    """How often each month was tried, when one has no file and another is refused once."""
    return {month.month: month.attempts for month in trial.troubled.result.months}


def runs_that_failed(trial: Trial) -> str:
    """How many runs failed when one month has no file."""
    runs = trial.troubled.runs
    return f"{sum(run.state == 'failed' for run in runs)} of {len(runs)}"


def retried(trial: Trial) -> dict[str, Any]:
    """What happens when the file has come, and what failed is retried."""
    troubled = trial.troubled
    return {**troubled.retried, "tables": trial.identical(troubled.schema)}


def canceled(trial: Trial) -> dict[str, Any]:
    """Cancel the run while it fetches the files that are left after the first, and backfill again."""
    bench, runs, schema = trial.asking.bench, trial.asking.runs, trial.asking.bench.schema()
    bench.backfill(BASELINE, THREE[:1], bench.folder, schema)
    with bench.publisher() as site:
        stalls = [site.stall(month, times=None) for month in (BAD, SHAKY)]
        parameters = {"months": f"{FIRST}..{SHAKY}", "source": site.url, "schema": schema}
        run_id = runs.start(TAXI_RANGE.name, parameters)
        until(lambda: any(each.reached.is_set() for each in stalls) or None, PATIENCE_S, 0.1, "a fetch in its middle")
        runs.cancel(TAXI_RANGE.name, run_id)
        record = runs.observe(TAXI_RANGE.name, run_id, wait_s=PATIENCE_S)
    before = sorted(bench.ledger(schema))
    again = trial.backfill(bench.folder, schema)
    return {
        "run": record.state if record.has_ended else f"still {record.state}",
        "loaded": before,
        "again": {month.month: month.state for month in again.months},
        "tables": trial.identical(schema),
    }


WHOLE = "three months"
ONE_BAD = "one month has no file, one is refused once"
CASES: Mapping[str, Callable[[Trial], Any]] = {
    f"{WHOLE}: tables": tables,
    f"{ONE_BAD}: history": history,
    f"{ONE_BAD}: loaded": loaded,
    f"{ONE_BAD}: months": states,
    f"{ONE_BAD}: attempts": attempts,
    f"{ONE_BAD}: runs that failed": runs_that_failed,
    "the file has come, what failed is retried": retried,
    "canceled while it fetches the second month, and backfilled again": canceled,
}

EXPECTED: Mapping[str, Any] = {
    f"{WHOLE}: tables": "identical",
    f"{ONE_BAD}: loaded": [FIRST, SHAKY],
    f"{ONE_BAD}: months": {FIRST: "success", BAD: "failed", SHAKY: "success"},
    f"{ONE_BAD}: attempts": {FIRST: 1, BAD: 1, SHAKY: 2},
}

IN_TESTS = (f"{WHOLE}: tables",)

MODES = ("runs", "one-run", SINGLE_RUN)
"""The two modes of a backfill; and Dagster's assets whose backfill policy is one run, beside them."""

HOW: Mapping[str, Mapping[str, How]] = {SINGLE_RUN: {"airflow": "absent", "prefect": "absent"}}

ROWS = [
    Row({"case": case, "mode": mode}, EXPECTED.get(case), HOW.get(mode, {}), case in IN_TESTS and mode == "one-run")
    for case, look in CASES.items()
    for mode in MODES
    # tests/contract asks both of a backfill of runs.
    if look not in (tables, canceled) or mode == "one-run"
]


def ask(asking: Asking, rows: Sequence[Row]) -> Answers:
    """Yield what was observed of each row."""
    trials = {mode: Trial(asking, mode) for mode in MODES}
    for row in (each for each in rows if asking.orchestrator not in each.how):
        yield row, CASES[row.key["case"]](trials[row.key["mode"]])


QUESTION = Question("dynamic", "What is lost when a range of months is one mapped run?", ROWS, ask)
