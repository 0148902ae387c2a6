"""Runs of several orchestrators in one list, and on the screen."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from core.lab import display, run_tables
from core.lab.history import newest
from core.lab.protocol import RunRecord, TaskRecord


def run(run_id: str, created_at: str | None, **facts: str) -> RunRecord:
    return RunRecord("x", "p", run_id, "failed", "manual", created_at=created_at, **facts)  # type: ignore[arg-type]


def test_the_newest_run_comes_first_whatever_its_offset() -> None:
    runs = [
        run("noon", "2024-01-01T12:00:00Z"),
        run("unknown", None),
        run("one", "2024-01-01T14:00:00.5+01:00"),
        run("eleven", "2024-01-01T06:00:00-05:00"),
    ]
    assert [each.run_id for each in newest(runs, 3)] == ["one", "noon", "eleven"]


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(display, "out", Console(file=text, highlight=False, soft_wrap=True, markup=False, width=200))
    return text


def test_the_table_of_runs(screen: io.StringIO) -> None:
    record = run("r-1", "2024-01-01T14:00:00+01:00", error="broken", started_at="2024-01-01T14:00:01+01:00")
    display.show(run_tables.runs_table([record]))
    assert screen.getvalue().splitlines()[1].split() == [
        "2024-01-01", "13:00:00", "x", "p", "-", "manual", "failed", "-", "r-1",
    ]  # fmt: skip
    assert list(run_tables.failures([record])) == ["x r-1 failed: broken"]


def test_the_table_of_a_runs_steps(screen: io.StringIO) -> None:
    times = ("2024-01-01T00:00:00Z", "2024-01-01T00:00:02.5Z")
    tasks = [
        TaskRecord("load", "success", 2, *times, 1234, {"state": "success", "detail": "all of it\x1b[31m"}),
        TaskRecord("check", "queued", 0, returned=[1, 2]),
    ]
    display.show(run_tables.run_table(RunRecord("x", "p", "r-1", "running", "manual", tasks=tasks)))
    _, load, check = screen.getvalue().splitlines()
    assert load.split() == ["load", "success", "2", "2.5", "1,234", "success,", "all", "of", r"it\x1b[31m"]
    assert check.split() == ["check", "queued", "0", "-", "-", "[1,", "2]"]


def test_how_a_run_ended_is_said_with_its_page() -> None:
    times = {"started_at": "2024-01-01T00:00:00Z", "ended_at": "2024-01-01T00:01:00Z"}
    record = run("r-1", None, error="broken", url="http://h/r-1", **times)
    assert list(run_tables.run_lines(record)) == ["x r-1: failed in 60.0 s: broken", "http://h/r-1"]
