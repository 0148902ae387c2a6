"""Which values does a task hand to the next one, unchanged? What does a large one cost, and who cleans up?"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from core.lab.protocol import RunRecord, TaskRecord
from tests.contract.bench import QUESTIONS, opened
from tests.questions.asking import Answers, Asking, Question, Row
from tests.questions.values.pipelines import KINDS

PIPELINE = "values"

WAYS = {"return value": "take", "explicit": "pull"}
"""The two ways to hand a value on, and the task that takes it so."""

SIZES = {"1 KB": 1_000, "1 MB": 1_000_000, "20 MB": 20_000_000}
"""Texts by their number of characters."""

AT_ONCE, RUNS = 3, 9
"""How many runs at a time hand on texts of different lengths, and how many in all."""

TYPES = [
    Row({"part": "type", "value": kind, "way": way}, "same", in_tests=kind in ("receipt", "int keys"))
    for kind in KINDS
    for way in WAYS
]
TOGETHER = Row({"part": "together", "value": f"{RUNS} texts, {AT_ONCE} runs at a time", "way": "return value"})
COSTS = [Row({"part": "size", "value": size, "way": "return value"}) for size in SIZES]
STORED = [
    Row({"part": "object store", "value": size, "way": "return value"}, how={"dagster": "absent", "prefect": "absent"})
    for size in SIZES
]
"""What Airflow's object store costs. The other two keep values in files, without a store that is set up."""

IN_DATABASE = 100_000
"""The largest value, in bytes of its JSON, that Airflow keeps in its database when it has an object store."""


def ask(asking: Asking, rows: Sequence[Row]) -> Answers:
    """Yield what became of each value, and then what the large ones cost, one run after the other."""
    records: dict[str, RunRecord] = {}
    stored: list[Row] = []
    for row in rows:
        if row.how.get(asking.orchestrator) == "absent":
            continue
        value, part = str(row.key["value"]), row.key["part"]
        if part == "together":
            yield row, together(asking)
        elif part == "size":
            yield row, cost(asking, SIZES[value])
        elif part == "object store":
            stored.append(row)
        else:
            if value not in records:
                records[value] = asking.run(PIPELINE, {"kind": value})
            yield row, arrival(records[value], WAYS[row.key["way"]])
    if stored:
        with object_store(asking.orchestrator) as other:
            yield from ((row, cost(other, SIZES[str(row.key["value"])])) for row in stored)


@contextmanager
def object_store(orchestrator: str) -> Iterator[Asking]:
    """Open a second Airflow, which keeps large values in an object store: here a folder of its home."""
    with tempfile.TemporaryDirectory(prefix="triptych-questions-") as folder:
        path = Path(folder) / "state" / orchestrator / "home" / "xcom"
        variables = {
            "AIRFLOW__CORE__XCOM_BACKEND": "airflow.providers.common.io.xcom.backend.XComObjectStorageBackend",
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH": path.as_uri(),
            "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_THRESHOLD": str(IN_DATABASE),
        }
        with opened(Path(folder), QUESTIONS, variables) as bench:
            asking = Asking(bench, orchestrator)
            # A new database grows by 10 MB with its first run.
            asking.run(PIPELINE, {"kind": "text", "size": 1})
            yield asking


def together(asking: Asking) -> dict[str, int]:
    """Hand on texts of different lengths in runs side by side; return how many got the text of another run."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        records = list(pool.map(lambda size: asking.run(PIPELINE, {"kind": "text", "size": size}), range(1, RUNS + 1)))
    wrong = sum(arrival(record, "take") != "same" for record in records)
    return {"runs": len(records), "with the value of another run": wrong}


def arrival(record: RunRecord, name: str) -> str:
    """Return ``same``, how the value differs on its arrival, or which task failed."""
    tasks = {task.task: task for task in record.tasks}
    if tasks["produce"].state == "failed":
        return f"fails when it is returned: {_exception(record)}"
    task = tasks[name]
    return f"fails when it is taken: {_exception(record)}" if task.state != "success" else str(_returned(task))


def _returned(task: TaskRecord) -> Any:
    return task.returned["returned"] if isinstance(task.returned, dict) else task.returned


def _exception(record: RunRecord) -> str:
    """Return the class of the error that failed a run."""
    return str(record.error).partition(":")[0].rpartition(".")[2]


def cost(asking: Asking, size: int) -> dict[str, Any]:
    """Return what it costs to hand on a text of `size` characters, and what is left when its run has been deleted.

    Sizes are in KB: of the orchestrator's database, after `VACUUM FULL`, and of the files in its home.
    """
    before = stored_kb(asking)
    record = asking.run(PIPELINE, {"kind": "text", "size": size})
    tasks = {task.task: task for task in record.tasks}
    grown = stored_kb(asking)
    asking.runs.delete(PIPELINE, record.run_id)
    left = stored_kb(asking)
    return {
        "answer": arrival(record, "take"),
        "seconds": round(_seconds(tasks["produce"].started_at, tasks["take"].ended_at), 2),
        "database_kb": grown["database"] - before["database"],
        "files_kb": grown["files"] - before["files"],
        "database_kb_after_delete": left["database"] - before["database"],
        "files_kb_after_delete": left["files"] - before["files"],
    }


def _seconds(began: str | None, ended: str | None) -> float:
    if not began or not ended:
        return 0.0
    return (dt.datetime.fromisoformat(ended) - dt.datetime.fromisoformat(began)).total_seconds()


def stored_kb(asking: Asking) -> dict[str, int]:
    """Return the size of the orchestrator's database, without dead rows, and of its files without logs."""
    size = 0
    for dsn in asking.bench.databases(asking.orchestrator):
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("VACUUM FULL")
            ((one,),) = connection.execute("SELECT pg_database_size(current_database())").fetchall()
            size += int(one)
    home = asking.bench.lab.settings.home / asking.orchestrator / "home"
    files = sum(path.stat().st_size for path in home.rglob("*") if path.is_file() and not _is_log(path, home))
    return {"database": size // 1000, "files": files // 1000}


def _is_log(path: Path, home: Path) -> bool:
    return path.relative_to(home).parts[0] in ("logs", ".logs_queue", ".telemetry")


def same(recorded: Any, answer: Any) -> bool:
    """Return whether two answers agree; of figures, whether they tell the same."""
    if isinstance(recorded, dict):
        return isinstance(answer, dict) and recorded.keys() == answer.keys()
    return bool(recorded == answer)


QUESTION = Question(
    PIPELINE,
    "Which values does a task hand on unchanged, and what do large ones cost?",
    [*TYPES, TOGETHER, *COSTS, *STORED],
    ask,
    same=same,
)
