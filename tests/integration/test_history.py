"""Each publication in the ledgers is joined with the run that made it, as far as its orchestrator can be asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core import pipeline
from core.database import connect
from core.lab import cli, loads, registry
from core.lab.plain.store import Store
from core.lab.protocol import RunRecord, TaskRecord
from core.lab.registry import BASELINE, Orchestrator
from core.run import Run
from core.settings import private, settings
from tests.integration import loading
from tests.integration.fake_orchestrators import MakeOrchestrator
from tests.integration.loading import MONTH, OTHER

TIMES = ("2024-05-01T12:00:00Z", "2024-05-01T12:01:00Z")


def ingest(folder: Path, run_id: str, loader: str = BASELINE, schema: str = "mine", **changes: Any) -> None:
    """Load the zones and a month, as the run of an orchestrator."""
    run = Run(str(folder), schema, loader=loader, run_id=run_id, **changes)
    pipeline.ingest_zones(run)
    pipeline.ingest_month(run, MONTH)


def record(run_id: str, month: str = str(MONTH), attempts: int = 1) -> None:
    """Write a run into the baseline's history."""
    task = TaskRecord("ingest_month", "success", attempts)
    Store(str(private(settings().home / BASELINE) / "home")).save(
        RunRecord(BASELINE, "taxi_pipeline", run_id, "success", "manual", month, TIMES[0], *TIMES, tasks=[task])
    )


def joined(**others: Orchestrator) -> loads.Loads:
    """Return all publications with their runs, of the baseline and of `others`."""
    known = {BASELINE: registry.orchestrators(settings())[BASELINE], **others}
    with connect("test") as connection:
        every = loads.read(connection, ["mine"])
    return loads.joined(settings(), every, every, None, known, list(known))


def with_verbs(fake: Orchestrator, look_up: str) -> Orchestrator:
    """Let an orchestrator answer the verbs that the history asks for."""
    runner = fake.cwd / f"{fake.name}_impl" / "lab" / "runner.py"
    more = f"backfill=backfill, runs=lambda *_: RunList([]), look_up=lambda *_: {look_up})"
    runner.write_text(runner.read_text().replace("backfill=backfill)", more))
    return fake


def test_a_load_has_the_record_of_its_run(folder: Path) -> None:
    ingest(folder, "plain-1")
    loading.write(folder, seed=2)
    ingest(folder, "plain-2")
    ingest(folder, "plain-3")
    for number in (1, 2, 3):
        record(f"plain-{number}", attempts=number)
    record("plain-4", str(OTHER))
    found = joined()
    assert [
        (load.entry.dataset, load.is_current, load.run and load.run.run_id, load.step and load.step.attempts)
        for load in found.loads
    ] == [("green", False, "plain-1", 1), ("green", True, "plain-2", 2), ("zones", True, "plain-1", None)]
    assert [load.run.started_at for load in found.loads if load.run] == [TIMES[0]] * 3
    assert [run.run_id for run in found.idle] == ["plain-3"], "nothing is loaded of the month of plain-4"


def test_why_a_run_is_unknown(folder: Path, orchestrator: MakeOrchestrator) -> None:
    ports = "['web']"
    fakes = {
        "stopped": with_verbs(orchestrator("stopped", ports=ports), "RunList([])"),
        "bare": orchestrator("bare"),
        "broken": with_verbs(orchestrator("broken"), "{'runs': [{'x': 1}]}"),
    }
    private(settings().home / "broken")
    for number, loader in enumerate((BASELINE, *fakes, "stranger")):
        ingest(folder, f"run {number}", loader, force=True)
    ingest(folder, "", force=True)
    found = joined(**fakes)
    assert [(load.entry.loader, load.unknown) for load in found.loads if load.month] == [
        (BASELINE, loads.GONE),
        ("stopped", "not running; `triptych up stopped` shows its runs"),
        ("bare", "its runs can't be listed yet"),
        ("broken", "it did not answer"),
        ("stranger", loads.STRANGE),
        (BASELINE, loads.UNNAMED),
    ]
    assert [load.run for load in found.loads] == [None] * len(found.loads)
    (line,) = found.failed
    assert line.startswith("broken: ")


def history(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, list[str]]:
    """Return how the command ends, and what it prints."""
    capsys.readouterr()
    code = cli.main(["history", *words.split()])
    out, said = capsys.readouterr()
    return code, out, said.splitlines()


def test_the_command_tells_what_is_and_what_is_not_loaded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ingest(folder, "plain-1")
    record("plain-1")
    record("plain-2", str(OTHER))
    code, out, said = history(f"{MONTH}..2024-03 --on plain", capsys)
    (_, line) = out.splitlines()
    assert (code, line.split()[:3], line.split()[-1]) == (0, ["mine", "green", str(MONTH)], "plain-1")
    assert said == [
        "no load of 2024-02..2024-03",
        "plain: 1 run of 2024-02 loaded nothing (1 success): `triptych runs --on plain`",
    ]
    assert history("2024-03 --on plain", capsys) == (0, "", ["no load of 2024-03"])


def test_the_command_writes_the_same_facts_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ingest(folder, "plain-1")
    record("plain-1", attempts=2)
    code, out, _ = history("--schema mine --dataset green --on plain --json -", capsys)
    facts = json.loads(out)
    (load,) = facts["loads"]
    assert (code, facts["not_loaded"], facts["loaded_nothing"]) == (0, [], [])
    assert (load["schema"], load["month"], load["run_id"], load["is_current"]) == ("mine", str(MONTH), "plain-1", True)
    assert (load["run"]["run_id"], load["attempts"], load["unknown"]) == ("plain-1", 2, None)
    file = folder / load["source_file"]
    assert load["source_bytes"] == file.stat().st_size


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "nothing is loaded: run"),
        ("--schema other", "nothing is loaded in schema 'other': run"),
        ("--on plain", "nothing is loaded by plain: run"),
        ("--dataset yellow", "nothing of yellow is loaded: run"),
    ],
)
def test_nothing_to_show_is_a_usage_error(
    warehouse: str, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    code, out, (line,) = history(words, capsys)
    assert (code, out) == (2, "")
    assert line.startswith(f"triptych: {said}")


def test_a_history_that_may_not_be_read_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(folder, "plain-1")
    monkeypatch.setattr("core.ledger.has_history", lambda *_: False)
    code, _, said = history("--on plain", capsys)
    assert code == 0
    assert said[0] == "mine: you may not read its load_history: replaced loads are left out"
