"""The branch and the join: what is skipped when nothing is pending for a month, and what its record says then."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.extract import sample
from core.lab.protocol import MonthRecord
from core.lab.registry import orchestrators
from core.lab.runs import Runs
from core.month import Month
from tests.contract.bench import MONTHS, Bench
from tests.odd_months import undocumented_codes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

THREE = MONTHS[:3]

SKIPPED = {
    "ingest_zones": "unchanged", "ingest_month": "unchanged", "transform": "skipped", "check": "skipped",
    "report": "success",
}  # fmt: skip
HELD_BACK = dict.fromkeys(("transform", "check", "report"), "upstream failed")


def states(record: MonthRecord) -> dict[str, str]:
    return {task.task: task.state for task in record.tasks}


def path_of(folder: Path, month: str) -> Path:
    return folder / sample.file_name(Month.parse(month))


def test_a_range_with_unchanged_changed_and_failed_months_ends(bench: Bench, orchestrator: str) -> None:
    folder, schema = bench.copy_of(bench.folder), bench.schema()
    assert bench.backfill(orchestrator, THREE, folder, schema).status == "success"
    bench.replace(folder, THREE[1])
    path_of(folder, THREE[2]).write_text("<html>503</html>")
    unchanged, changed, failed = bench.backfill(orchestrator, THREE, folder, schema).months
    assert (unchanged.state, unchanged.error, states(unchanged)) == ("unchanged", None, SKIPPED)
    assert changed.state == "success"
    assert states(changed) == SKIPPED | dict.fromkeys(("ingest_month", "transform", "check"), "success")
    assert failed.state == "failed"
    assert states(failed) == SKIPPED | {"ingest_month": "failed"} | HELD_BACK
    assert {task.attempts for task in unchanged.tasks if task.state == "skipped"} == {0}


def test_a_month_whose_check_failed_stays_failed(bench: Bench, orchestrator: str) -> None:
    """Nothing is pending when it runs again, but a run that skipped the check would turn it green."""
    folder, schema = bench.copy_of(bench.folder), bench.schema()
    undocumented_codes(folder, THREE[0], 3)
    runs = [bench.backfill(orchestrator, THREE[:1], folder, schema, strict=True).months[0] for _ in range(2)]
    assert [(run.state, states(run)["check"], states(run)["report"]) for run in runs] == [
        ("failed", "failed", "upstream failed")
    ] * 2


def test_a_run_by_hand_tells_what_was_skipped(bench: Bench, orchestrator: str) -> None:
    runs = Runs(bench.lab, orchestrators(bench.lab.settings)[orchestrator])
    schema = bench.schema()
    asked = {"source": str(bench.folder), "schema": schema}
    records = [
        runs.observe("taxi_pipeline", runs.start("taxi_pipeline", asked, THREE[0]), wait_s=None) for _ in range(2)
    ]
    assert [run.state for run in records] == ["success", "success"]
    first, again = ({task.task: task for task in run.tasks} for run in records)
    assert {task.state for task in first.values()} == {"success"}
    assert {name: task.state for name, task in again.items()} == SKIPPED
    assert [(task.attempts, task.returned) for task in again.values() if task.state == "skipped"] == [(0, None)] * 2
    entry = bench.ledger(schema)[THREE[0]]
    for run, detail in ((first, "loaded, built"), (again, "unchanged, transform and check skipped")):
        told = run["report"].returned
        assert (told["rows"], told["digest"]) == (entry.row_count, entry.content_digest)
        assert told["detail"] == f"digest {entry.content_digest[:10]}, {detail}"
