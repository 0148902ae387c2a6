"""A month is left in a situation by the baseline, and one run of the orchestrator finds it: which of its steps run?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from tests.questions.asking import Answers, Asking, Question, Row

MONTH = MONTHS[0]

SHOWN = ("ingest_month", "transform", "check", "report")
"""The steps whose states are an answer. The zones are loaded in every situation."""

Change = Callable[[Bench, Path, Schema], None]
"""What happens before the run, to the published files and in the schema."""


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


SITUATIONS: dict[str, tuple[Change, str, dict[str, Any]]] = {
    "first load": (lambda *_: None, "success, success, success, success", {}),
    "same bytes again": (loaded, "unchanged, skipped, skipped, success", {}),
    "same bytes after a crash between load and build": (crashed, "unchanged, success, success, success", {}),
    "an empty file replaces a full one": (emptied, "success, success, success, success", {"accept_suspect": True}),
    "same bytes, other zones": (renamed, "unchanged, success, success, success", {}),
    "same bytes, and the last check failed": (
        strict, "unchanged, unchanged, failed, upstream failed", {"strict": True},
    ),
    "the load fails": (broken, "failed, upstream failed, upstream failed, upstream failed", {}),
}  # fmt: skip
"""What happens before, how the steps of the run then end, and the run's other parameters."""

IN_TESTS = ("same bytes again", "same bytes after a crash between load and build")


def ask(asking: Asking, rows: Sequence[Row]) -> Answers:
    """Leave the month in each situation, in a schema of its own, and run it."""
    bench = asking.bench
    for row in rows:
        change, _, parameters = SITUATIONS[row.key["situation"]]
        folder, schema = bench.copy_of(bench.folder), bench.schema()
        change(bench, folder, schema)
        record = asking.run(TAXI_PIPELINE.name, {"source": str(folder), "schema": schema, **parameters}, MONTH)
        states = {task.task: task.state for task in record.tasks}
        yield row, ", ".join(states[task] for task in SHOWN)


QUESTION = Question(
    name="branch",
    title="When are a month's models built, and when are they skipped?",
    rows=[
        Row(key={"situation": situation}, expected=expected, in_tests=situation in IN_TESTS)
        for situation, (_, expected, _) in SITUATIONS.items()
    ],
    ask=ask,
)
