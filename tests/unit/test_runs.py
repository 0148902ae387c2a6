"""Runs of several orchestrators in one list, and on the screen."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import replace

import pytest
from rich.console import Console

from core.lab import display, run_tables
from core.lab.history import newest
from core.lab.loads import GONE, Load, Loads
from core.lab.protocol import RunRecord, TaskRecord
from core.ledger import Entry


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


ENTRY = Entry(
    dataset="green", month=dt.date(2024, 1, 1), source_file="f", source_sha256="a" * 64, source_bytes=2048,
    row_count=1234, content_digest="b" * 32, declaration="c", strategy="swap", loader="x", run_id="r-1", fence=1,
    seen=2, loaded_at=dt.datetime(2024, 5, 1, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))),
)  # fmt: skip


def of_month(task: str, attempts: int) -> RunRecord:
    times = ("2024-05-01T11:59:00Z", "2024-05-01T12:00:30Z")
    steps = [TaskRecord("ingest_zones", "success", 1), TaskRecord(task, "success", attempts)]
    return RunRecord(
        "x", "p", "r-1", "success", "backfill", None, times[0], *times, tasks=steps, url="http://h/runs/r-1"
    )


@pytest.mark.parametrize(
    ("task", "attempts"),
    [("ingest_month", 2), ("ingest_month[2024-01]", 2), ("ingest_month[2024-02]", None), ("load", None)],
)
def test_the_attempts_of_a_load_are_those_of_the_step_that_loaded_this_month(task: str, attempts: int | None) -> None:
    load = Load("s", ENTRY, is_current=True, run=of_month(task, 2))
    assert load.to_json()["attempts"] == attempts


def test_the_attempts_of_a_lookup_are_those_of_its_own_step() -> None:
    entry = replace(ENTRY, dataset="zones", month=None)
    step = Load("s", entry, is_current=True, run=of_month("ingest_month", 2)).step
    assert step is not None and (step.task, step.attempts) == ("ingest_zones", 1)


def test_the_table_of_loads(screen: io.StringIO) -> None:
    loads = [
        Load("s", ENTRY, is_current=False, run=of_month("ingest_month", 2)),
        Load("s", replace(ENTRY, loader="evil\x1b[31m"), is_current=True, unknown=GONE),
    ]
    display.show(run_tables.loads_table(loads))
    _, known, unknown = screen.getvalue().splitlines()
    facts = ["s", "green", "2024-01", "2024-05-01", "12:00:00", "1,234", "2,048", "aaaaaaaaaaaa"]
    assert known.split() == [*facts, "replaced", "x", "backfill", "success", "2", "90.0", "http://h/runs/r-1"]
    assert unknown.split() == [*facts, "current", r"evil\x1b[31m", "-", "unknown", "-", "-", "r-1"]


def test_what_is_not_known_of_loads_is_told_in_a_line_each() -> None:
    idle = [run("1", None, partition="2024-02"), run("2", None, partition="2024-01")]
    unknown = [Load("s", ENTRY, is_current=True, unknown=GONE)] * 2
    assert list(run_tables.loads_lines(Loads(unknown, ["2024-04", "2024-05"], idle))) == [
        "no load of 2024-04..2024-05",
        f"x: {GONE} (2 loads)",
        "x: 2 runs of 2024-01..2024-02 loaded nothing (2 failed): `triptych runs --on x`",
    ]
    assert list(run_tables.loads_lines(Loads([Load("s", ENTRY, is_current=True, run=idle[0])]))) == []
