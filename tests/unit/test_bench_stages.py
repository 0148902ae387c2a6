"""How the seconds of a month and the roles of processes are computed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from benchmarks.harness.measure import BenchmarkError, Row
from benchmarks.orchestrators import role_meters, stages
from benchmarks.orchestrators.chains import instant
from benchmarks.orchestrators.roles import DATABASE, LAB, RUN, Roles
from benchmarks.orchestrators.watch import Memory, measured
from core.lab.protocol import RunRecord, TaskRecord
from tests.unit.test_bench_chains import at, task


def month(*tasks: TaskRecord, created: float, launched: float | None, started: float, ended: float) -> RunRecord:
    return RunRecord(
        "prefect", "taxi_pipeline", "r", "success", "backfill", created_at=at(created), started_at=at(started),
        launched_at=at(launched) if launched is not None else None, ended_at=at(ended), tasks=list(tasks),
    )  # fmt: skip


def of_month(run: RunRecord, free: float | None = None) -> dict[str, float]:
    zero = instant(at(0))
    found = stages.of_month(run, None if free is None else zero + free)
    return {name: round(value, 3) for name, value in found.items()}


# --- the stages of a month


def test_the_stages_follow_one_another_and_add_up_to_the_time_in_the_slot() -> None:
    steps = task("ingest_month", None, 5, 7), task("transform", None, 7.5, 9)
    found = of_month(month(*steps, created=2, launched=3, started=4, ended=10), free=1)
    assert found == {
        "next": 1.0, "queued": 1.0, "start": 2.0, "steps": 3.5, "hand_over": 0.5, "end": 1.0,
        "ingest_month": 2.0, "transform": 1.5,
    }  # fmt: skip
    assert sum(found[stage] for stage in stages.STAGES) == 10 - 1


def test_a_run_that_was_created_before_its_slot_was_free_is_queued_from_then_on() -> None:
    found = of_month(month(task("a", None, 6, 7), created=0, launched=None, started=5, ended=7), free=4.5)
    assert (found["next"], found["queued"], found["start"]) == (0.0, 0.5, 1.0)


def test_where_each_task_is_a_process_its_assignment_is_part_of_the_start() -> None:
    steps = task("a", 1.5, 2, 3), task("b", 3.2, 4, 5)
    found = of_month(month(*steps, created=0, launched=None, started=1, ended=5))
    assert (found["start"], found["hand_over"], found["steps"]) == (1.8, 0.2, 2.0)


def test_two_steps_at_a_time_count_once_for_the_one_that_ends_last() -> None:
    steps = task("ingest_month", None, 1.5, 4), task("ingest_zones", None, 1, 2), task("short", None, 2, 3)
    found = of_month(month(*steps, created=0, launched=0, started=1, ended=4))
    assert (found["ingest_zones"], found["ingest_month"], found["short"]) == (0.5, 2.5, 0.0)
    assert found["steps"] == 3.0 and found["hand_over"] == 0.0


def test_a_step_that_was_skipped_takes_nothing() -> None:
    skipped = TaskRecord("transform", "skipped", 0, at(3), at(3))
    found = of_month(month(task("a", None, 1, 2), skipped, created=0, launched=0, started=0, ended=4))
    assert (found["end"], found["hand_over"]) == (2.0, 0.0)


def test_a_month_takes_over_the_slot_that_has_been_free_for_longest() -> None:
    def run(launched: float, ended: float) -> RunRecord:
        return month(
            task("a", None, launched, ended), created=launched, launched=launched, started=launched, ended=ended
        )

    # Two at a time; the third begins 0.5 s after the first has ended, the fourth 1 s after the second.
    found = list(stages.of_months([run(0, 2), run(0, 3), run(4, 6), run(2.5, 5)]))
    assert [round(each["next"], 3) for each in found] == [0.0, 0.0, 0.5, 1.0]


def test_a_row_has_means_that_add_up_and_medians() -> None:
    runs = [month(task("a", None, first + 1, first + 2), created=first, launched=first, started=first, ended=first + 2)
            for first in (0, 2, 4)]  # fmt: skip
    runs.append(month(task("a", None, 7, 14), created=6, launched=6, started=6, ended=16))
    zero = instant(at(0))
    row = stages.stages(runs, zero - 1, zero + 16.25)
    assert (row["before_s"], row["after_s"], row["month_s"], row["steps_s"]) == (1.0, 0.25, 4.0, 2.5)
    assert sum(row[f"{stage}_s"] for stage in stages.STAGES) == pytest.approx(row["month_s"])
    assert (row["medians"]["month"], row["medians"]["steps"]) == (2.0, 1.0)


class Recorded:
    """The runs of an orchestrator that has three, created at these seconds."""

    orchestrator = SimpleNamespace(name="prefect")

    def newest(self, pipeline: str, limit: int) -> list[RunRecord]:
        return [month(created=created, launched=0, started=0, ended=9) for created in (5, 3, 1)]

    def look_up(self, pipeline: str, run_ids: Iterable[str]) -> list[RunRecord]:
        return [month(created=0, launched=0, started=0, ended=9) for _ in run_ids]


def test_only_the_runs_of_this_backfill_count() -> None:
    assert len(stages.recorded(Recorded(), 2, instant(at(3)))) == 2  # type: ignore[arg-type]


def test_a_month_without_a_record_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="prefect has records of 2 of 3 runs"):
        stages.recorded(Recorded(), 3, instant(at(3)))  # type: ignore[arg-type]


# --- roles


class Process:
    """A process with those above it."""

    def __init__(self, pid: int, *above: int) -> None:
        self.pid, self._above = pid, above

    def parents(self) -> list[Any]:
        return [Process(pid) for pid in self._above]


@pytest.mark.parametrize(
    ("process", "role"),
    [
        (Process(10, 1), "scheduler"),
        (Process(11, 10, 1), "scheduler"),
        (Process(50, 11, 10, 1), RUN),
        (Process(51, 20, 1), "API"),
        (Process(52, os.getpid(), 1), LAB),
        (Process(53, 1), RUN),
    ],
)
def test_what_begins_below_the_service_that_starts_runs_is_a_run(process: Any, role: str, tmp_path: Path) -> None:
    known = {10: "scheduler", 11: "scheduler", 20: "API"}
    roles = Roles(tmp_path, known, "scheduler", {})
    assert roles.of_process(process) == role
    assert (roles.of_ended("scheduler"), roles.of_ended("API"), roles.of_ended(RUN)) == (RUN, "API", RUN)


def test_what_the_runner_does_for_the_baseline_is_its_run(tmp_path: Path) -> None:
    assert Roles(tmp_path, {}, None, {}).of_process(Process(52, os.getpid(), 1)) == RUN  # type: ignore[arg-type]


def test_the_cpu_seconds_of_what_has_ended_are_those_of_a_run(tmp_path: Path) -> None:
    cpu = role_meters.CpuByRole(Roles(tmp_path, {}, None, {DATABASE: psutil.Process()}))
    cpu.begin()
    words = ["python3", "-c", "sum(range(10_000_000))"]
    assert os.waitpid(os.posix_spawnp(words[0], words, os.environ), 0)[1] == 0
    row = cpu.end()
    assert row["cpu_run_s"] > 0.05 and row["cpu_lab_s"] < 0.1 and row["cpu_database_s"] >= row["cpu_run_s"]


def test_the_peak_of_a_role_and_of_all_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    megabytes = {10: 5.0, 50: 7.0, 99: 40.0}
    monkeypatch.setattr("core.lab.processes.members", lambda _: [Process(10, 1), Process(50, 10)])
    monkeypatch.setattr(role_meters, "_tree", lambda root: [root])
    monkeypatch.setattr(role_meters, "pss_mb", lambda process: megabytes[process.pid])
    memory = role_meters.MemoryByRole(Roles(tmp_path, {10: "worker"}, "worker", {DATABASE: Process(99)}))  # type: ignore[dict-item]
    memory.start()
    memory.look()
    megabytes[10], megabytes[50] = 6.0, 1.0
    memory.look()
    assert memory.stop() == {"peak_mb": 12.0, "peak_worker_mb": 6.0, "peak_run_mb": 7.0, "peak_database_mb": 40.0}


def test_meters_end_in_the_opposite_order(tmp_path: Path) -> None:
    said: list[str] = []

    class Meter:
        def __init__(self, name: str) -> None:
            self.name = name

        def begin(self) -> None:
            said.append(f"begin {self.name}")

        def end(self) -> Row:
            said.append(f"end {self.name}")
            return {self.name: 1}

    with measured(Memory(tmp_path), [Meter("a"), Meter("b")]) as row:
        said.append("work")
    assert said == ["begin a", "begin b", "work", "end b", "end a"]
    assert {*row} == {"wall_s", "cpu_s", "peak_mb", "a", "b"}
