"""The baseline's history, and what it records of a run."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from core.lab.identity import Identity
from core.lab.plain import store
from core.lab.plain.month import Recorder
from core.lab.plain.store import Store
from core.lab.protocol import RunRecord, TaskRecord


def record(run_id: str, **facts: object) -> RunRecord:
    return replace(RunRecord("plain", "taxi_pipeline", run_id, "running", "manual"), **facts)  # type: ignore[arg-type]


def test_the_newest_runs_come_first(tmp_path: Path) -> None:
    kept = Store(str(tmp_path))
    for run_id in ("plain-2", "plain-3", "plain-1"):
        kept.save(record(run_id))
    assert [run.run_id for run in kept.newest("taxi_pipeline", 2)] == ["plain-3", "plain-2"]
    assert kept.newest("another", 2) == []


def test_a_run_that_another_process_deletes_meanwhile_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Store(str(tmp_path))
    for run_id in ("plain-1", "plain-2"):
        kept.save(record(run_id))
    listed = kept._files()
    monkeypatch.setattr(Store, "_files", lambda self: listed)
    listed[-1].unlink()
    assert [run.run_id for run in kept.newest(None, 5)] == ["plain-2"]
    assert [process.run_id for process in kept.processes()] == ["plain-2"]


def test_a_run_without_its_process_has_failed_and_so_has_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Store(str(tmp_path))
    tasks = [TaskRecord("ingest_zones", "success", 1), TaskRecord("ingest_month", "running", 1)]
    kept.save(record("plain-1", tasks=tasks))
    monkeypatch.setattr(Identity, "process", lambda self: None)
    found = kept.read("plain-1")
    assert (found.state, found.error) == ("failed", store.LOST)
    assert [task.state for task in found.tasks] == ["success", "failed"]


def test_the_first_of_two_errors_stays() -> None:
    recorder = Recorder(record("plain-1"), save=lambda run: None)

    class Slower(nullcontext[None]):
        """A lock that the thread of another step got first."""

        def __enter__(self) -> None:
            recorder.record = replace(recorder.record, error="first")

    recorder._lock = cast(threading.Lock, cast(AbstractContextManager[None], Slower()))
    recorder.fail("second")
    assert recorder.record.error == "first"


def test_only_the_newest_runs_and_their_logs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KEPT", 1)
    kept = Store(str(tmp_path / "home"))
    (tmp_path / "logs").mkdir()
    for run_id in ("plain-1.5", "plain-2.5"):
        kept.save(record(run_id))
        kept.log(run_id).touch()
    kept.tidy()
    assert [run.run_id for run in kept.newest(None, 5)] == ["plain-2.5"]
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["plain-2.5.log"]


def test_a_run_that_ends_while_it_is_read_is_not_taken_for_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Store(str(tmp_path))
    kept.save(record("plain-1"))

    def ends(_: Identity) -> None:
        """The process saves the end of its run after the file was read, and is then gone."""
        kept.save(record("plain-1", state="success"))

    monkeypatch.setattr(Identity, "process", ends)
    assert kept.read("plain-1").state == "success"
    kept.save(record("plain-1"))
    assert [run.state for run in kept.newest(None, 1)] == ["success"]
