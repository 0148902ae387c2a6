"""The baseline leaves a month in some situation, and a run of the orchestrator finds it: which of its steps run?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from psycopg import sql

from core.database import lock_key
from core.extract import sample
from core.lab.protocol import TAXI_PIPELINE
from core.lab.registry import BASELINE, orchestrators
from core.lab.runs import Runs
from core.month import Month
from core.waiting import until
from tests.contract.bench import MONTHS, Bench, Schema
from tests.questions.asking import Answers, Asking, How, Question, Row

MONTH = MONTHS[0]

SHOWN = ("ingest_month", "transform", "check", "report")
"""The steps whose states are an answer. The zones are loaded in every situation."""

Change = Callable[[Bench, Path, Schema], None]
"""What happens before the run, to the published files and in the schema."""


def nothing(bench: Bench, folder: Path, schema: Schema) -> None:
    """Leave the schema empty."""


def loaded(bench: Bench, folder: Path, schema: Schema, **flags: Any) -> None:
    """Load, build and check the month, on the baseline."""
    bench.backfill(BASELINE, [MONTH], folder, schema, jobs=1, **flags)


def crashed(bench: Bench, folder: Path, schema: Schema) -> None:
    """Load other rows, and end the run before it builds anything: it waits for the lock of the builds."""
    loaded(bench, folder, schema)
    before = bench.ledger(schema)[MONTH].fence
    bench.replace(folder, MONTH)
    runs = Runs(bench.lab, orchestrators(bench.lab.settings)[BASELINE])
    with bench.connect() as connection:
        connection.execute(sql.SQL("SELECT pg_advisory_lock({})").format(lock_key("transform", schema)))
        parameters = {"source": str(folder), "schema": schema}
        run_id = runs.start(TAXI_PIPELINE.name, parameters, MONTH)
        until(lambda: bench.ledger(schema)[MONTH].fence != before or None, 120, 0.1, f"a load of {MONTH}")
        runs.cancel(TAXI_PIPELINE.name, run_id)


def emptied(bench: Bench, folder: Path, schema: Schema) -> None:
    """Replace the month's file, which is loaded and built, by one with no rows."""
    loaded(bench, folder, schema)
    path = file_of(folder)
    table = pq.read_table(path).slice(0, 0)
    path.unlink()
    pq.write_table(table, path)


def renamed(bench: Bench, folder: Path, schema: Schema) -> None:
    """Publish another lookup of the zones."""
    loaded(bench, folder, schema)
    path = folder / sample.ZONES
    path.write_bytes(path.read_bytes().replace(b'"Airport West"', b'"Airport East"'))


def broken(bench: Bench, folder: Path, schema: Schema) -> None:
    """Publish a web page in place of the month's file."""
    loaded(bench, folder, schema)
    file_of(folder).write_text("<html>503</html>")


def strict(bench: Bench, folder: Path, schema: Schema) -> None:
    """Leave a month whose check has failed: the sample breaks a test of severity ``warn``."""
    loaded(bench, folder, schema, strict=True)


def file_of(folder: Path) -> Path:
    """Return the month's file."""
    return folder / sample.file_name(Month.parse(MONTH))


@dataclass(frozen=True)
class Situation:
    """What a run finds, and how its steps then end."""

    change: Change
    expected: Sequence[str]
    """The states of the steps, in the order of `SHOWN`."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The run's other parameters."""


BUILT = ("success", "success", "success")
SKIPPED = ("skipped", "skipped", "success")

SITUATIONS: Mapping[str, Situation] = {
    "first load": Situation(nothing, ("success", *BUILT)),
    "same bytes again": Situation(loaded, ("unchanged", *SKIPPED)),
    "same bytes after a crash between load and build": Situation(crashed, ("unchanged", *BUILT)),
    "an empty file replaces a full one": Situation(emptied, ("success", *BUILT), {"accept_suspect": True}),
    "same bytes, other zones": Situation(renamed, ("unchanged", *BUILT)),
    "same bytes, and the last check failed": Situation(
        strict, ("unchanged", "unchanged", "failed", "upstream failed"), {"strict": True}
    ),
    "the load fails": Situation(broken, ("failed", "upstream failed", "upstream failed", "upstream failed")),
}

BACKFILL = "a backfill: first the same bytes, then a replaced file"

SKIPS: Mapping[str, How] = {"prefect": "emulated"}
"""Prefect has no state for a step that was skipped: a task that is not called leaves no run, and the record is ours."""

IN_TESTS = ("same bytes after a crash between load and build",)

ROWS = [
    *(
        Row(
            {"situation": name},
            dict(zip(SHOWN, each.expected, strict=True)),
            SKIPS if "skipped" in each.expected else {},
            name in IN_TESTS,
        )
        for name, each in SITUATIONS.items()
    ),
    Row({"situation": BACKFILL}, {"backfill": "success", "transforms": ["skipped", "success"]}, SKIPS),
]


def ask(asking: Asking, rows: Sequence[Row]) -> Answers:
    """Leave months in each situation, in a schema of its own, and run them."""
    for row in rows:
        situation = SITUATIONS.get(row.key["situation"])
        yield row, one_run(asking, situation) if situation else two_months(asking)


def one_run(asking: Asking, situation: Situation) -> dict[str, str]:
    """Return how the steps of a run ended."""
    folder, schema = asking.bench.copy_of(asking.bench.folder), asking.bench.schema()
    situation.change(asking.bench, folder, schema)
    record = asking.run(TAXI_PIPELINE.name, {"source": str(folder), "schema": schema, **situation.parameters}, MONTH)
    states = {task.task: task.state for task in record.tasks}
    return {task: states[task] for task in SHOWN}


def two_months(asking: Asking) -> dict[str, Any]:
    """Return how a backfill of an unchanged and a replaced month ended, and the transform of each."""
    bench, months = asking.bench, MONTHS[:2]
    folder, schema = bench.copy_of(bench.folder), bench.schema()
    bench.backfill(BASELINE, months, folder, schema, jobs=1)
    bench.replace(folder, months[1])
    result = bench.backfill(asking.orchestrator, months, folder, schema)
    states = [{task.task: task.state for task in month.tasks}["transform"] for month in result.months]
    return {"backfill": result.status, "transforms": states}


QUESTION = Question("branch", "When are a month's models built, and when are they skipped?", ROWS, ask)
