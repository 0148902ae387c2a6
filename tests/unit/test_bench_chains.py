"""What the benchmarks of the orchestrators compute from records, and what their pages say of it."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.harness.measure import BenchmarkError
from benchmarks.orchestrators import chains, chains_page, floor, floor_page
from benchmarks.orchestrators.shapes import CHAINS, ISOLATIONS, LIGHT, LONG, SHORT, TASK_INTERPRETERS, TASK_PROCESSES
from core.lab.protocol import BackfillResult, MonthRecord, RunRecord, TaskRecord, Tuned
from core.lab.runs import Runs
from core.month import Month

FACTS: dict[str, Any] = {
    "machine": {"cpu": "x", "cores": 2, "ram_gb": 1.0, "system": "Linux", "load_average_at_start": 0.1},
    "versions": {"airflow": "3"},
    "measured_at": "2026-11-30T00:00:00+00:00",
}


def at(second: float) -> str:
    return f"2026-11-30T00:00:{second:06.3f}+00:00"


def task(name: str, assigned: float | None, started: float, ended: float) -> TaskRecord:
    return TaskRecord(
        name, "success", 1, at(started), at(ended), created_at=at(assigned) if assigned is not None else None
    )


def run(*tasks: TaskRecord, created: float = 0.0, ended: float = 10.0) -> RunRecord:
    return RunRecord(
        "airflow", "short_task_processes", "r", "success", "manual",
        created_at=at(created), ended_at=at(ended), tasks=list(tasks),
    )  # fmt: skip


# --- chains


def test_the_parts_of_a_run_add_up_to_it() -> None:
    found = chains.parts(run(task("a", 1, 2, 4), task("b", 4.5, 5, 8)))
    assert found == {
        "run_s": 10.0, "before_s": 1.0, "assignment_s": 1.5, "execution_s": 5.0, "transition_s": 0.5, "after_s": 2.0,
        "timeline": [[1.0, 2.0, 4.0], [4.5, 5.0, 8.0]],
    }  # fmt: skip


def test_without_a_time_of_assignment_that_is_part_of_the_transition() -> None:
    found = chains.parts(run(task("a", None, 2, 4), task("b", None, 5, 8)))
    assert (found["assignment_s"], found["before_s"], found["transition_s"]) == (0.0, 2.0, 1.0)


def test_the_tasks_are_in_the_order_of_their_starts() -> None:
    assert chains.parts(run(task("b", 4, 5, 8), task("a", 1, 2, 4)))["timeline"][0] == [1.0, 2.0, 4.0]


def test_a_task_without_times_is_an_error_and_no_zero() -> None:
    with pytest.raises(BenchmarkError, match="no time"):
        chains.parts(run(TaskRecord("a", "success", 1)))


def test_each_chain_is_a_pipeline_for_each_kind_of_isolation_and_no_other_pipeline_is_a_chain() -> None:
    named = [chain.pipeline(kind).name for chain in CHAINS for kind in ISOLATIONS]
    assert len({*named}) == len(named)
    assert chains.chain_of("light_task_processes") == (LIGHT, chains.PER_TASK)
    assert chains.chain_of("taxi_pipeline") is None


def test_runs_one_after_the_other_are_one_call_and_each_has_both_clocks() -> None:
    asked: list[object] = []
    record = run(task("a", 1, 2, 4))

    class Asked:
        orchestrator = SimpleNamespace(name="airflow")

        def in_turn(self, *what: object) -> list[tuple[RunRecord, float]]:
            asked.append(what)
            return [(record, 10.5), (record, 10.25)]

    runs = cast(Runs, Asked())
    assert [(row["wall_s"], row["run_s"]) for row in chains.in_turn(runs, "p", 2)] == [(10.5, 10.0), (10.25, 10.0)]
    assert asked == [("p", {}, 2)]
    record = replace(record, state="failed")
    with pytest.raises(BenchmarkError, match="airflow: a run of p ended failed"):
        list(chains.in_turn(runs, "p", 2))


@pytest.mark.parametrize("line", chains.ZERO_LINES)
def test_a_zero_line_does_the_work_of_every_task(line: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []
    monkeypatch.setattr(chains, "fibonacci", done.append)
    monkeypatch.setattr(chains, "FORKS", InPlace)
    monkeypatch.setattr(chains, "FIBONACCI", ["true"])
    monkeypatch.setattr("subprocess.run", lambda words, **_: done.extend(words[-1:]))
    chains.ZERO_LINES[line](SHORT)
    # make is one program, which is asked for the last task.
    assert done == (["step_03"] if line[0] == "make" else [str(10)] * 3 if line[1] == chains.INTERPRETER else [10] * 3)


class InPlace:
    """Stands in for a context of processes; its processes are calls."""

    class Process(threading.Thread):
        pass


def test_the_chain_of_three_tasks_comes_first_in_the_first_kind_of_isolation() -> None:
    names = [chain.pipeline(kind).name for chain in CHAINS for kind in (TASK_INTERPRETERS, TASK_PROCESSES)]
    found = chains.in_order(["taxi_pipeline", *names])
    assert [(chain, isolation) for _, chain, isolation in found] == [
        (chain, kind) for chain in (SHORT, LONG, LIGHT) for kind in (chains.PER_TASK, chains.INTERPRETER)
    ]
    assert {name for name, *_ in found} == {*names}
    assert [chains.repeats(chain, 34) for chain in CHAINS] == [1, 1, 34]


def test_make_runs_the_tasks_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    log = tmp_path / "log"
    monkeypatch.setattr(chains, "FIBONACCI", ["echo", "$@", ">>", str(log), "#"])
    chains.with_make(SHORT)
    assert log.read_text().split() == SHORT.tasks


@pytest.mark.parametrize(
    ("values", "share", "found"), [([1.0], 0.95, 1.0), ([*range(1, 21)], 0.95, 19), ([1, 2], 0.5, 1)]
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, found: float) -> None:
    assert chains_page.percentile(values, share) == found


def chain_rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number in (1, 2, 3):
        for chain in CHAINS:
            parts = chains.parts(run(task("a", 1, 2, 4), task("b", 4.5, 5, 8), ended=8.0 + number))
            key = {"orchestrator": "airflow", "isolation": chains.PER_TASK, "chain": chain.name, "tasks": chain.length}
            rows.append({"round": number, **key, "wall_s": 12.0, **parts})
            none = dict.fromkeys(("before_s", "assignment_s", "transition_s", "after_s"), 0.0)
            zero = {"orchestrator": "make", "wall_s": 0.5, "run_s": 0.5, "execution_s": 0.5, **none}
            rows.append({"round": number, **key, **zero})
            rows.append({"round": number, **key, **zero, "orchestrator": "python", "isolation": chains.IN_PROCESS})
    return [{**rows[0], "chain": chains.FIRST, "run_s": 30.0}, *rows]


def test_the_page_of_the_chains_keeps_the_first_run_apart() -> None:
    page = chains_page.page({**FACTS, "rows": chain_rows(), "samples": 1})
    assert "| airflow | 10.0 (9.00 - 11.0) | 10.0 (9.00 - 11.0) | 10.0 (9.00 - 11.0) | 11.0 | 11.0 | 3 |" in page
    assert "| airflow, process per task | 30.0 (30.0 - 30.0) | 10.0 (9.00 - 11.0) |" in page
    # 40 tasks, in seconds that are made up.
    assert "| airflow, process per task | 1,000 | 38 | 125 | 13 | 2,000 |" in page
    assert "| make, process per task | 0 | 0 | 12 | 0 | 0 |" in page


# --- the floor

SETTINGS = [Tuned("dagster.a", "1", "5"), Tuned("dagster.b", "2", "30")]


def test_each_setting_alone_is_left_as_it_is_shipped() -> None:
    assert floor.variants(SETTINGS) == {
        "tuned": "", "shipped": "all", "without dagster.a": "dagster.a", "without dagster.b": "dagster.b",
    }  # fmt: skip
    assert floor.variants(SETTINGS[:1]) == {"tuned": "", "shipped": "all"}


def test_what_takes_minutes_is_measured_in_fewer_rounds() -> None:
    plan = floor.Plan([1, 3, 12, 60], rounds=3, untuned=2)
    assert floor.counts("tuned", plan, 1) == [1, 3, 12, 60]
    assert floor.counts("tuned", plan, 3) == [1, 3, 12]
    assert floor.counts("shipped", plan, 1) == floor.counts("shipped", plan, 2) == [1, 12]
    assert floor.counts("without dagster.a", plan, 2) == [12]
    assert floor.counts("shipped", plan, 3) == floor.counts("without dagster.a", plan, 3) == []
    # A trial has few months, or only many.
    assert floor.counts("without dagster.a", floor.Plan([1, 3], 1, 1), 1) == [3]
    assert floor.counts("shipped", floor.Plan([24], 1, 1), 1) == [24]


def test_the_months_follow_one_another_over_a_year() -> None:
    assert floor.months_from(Month(2014, 11), 4) == ["2014-11", "2014-12", "2015-01", "2015-02"]


def test_the_runs_that_do_nothing_get_no_parameters() -> None:
    """Dagster refuses those that a job has no resource for."""
    assert floor.request(2).parameters == {} and floor.request(2).months == ["2014-01", "2014-02"]


def test_the_seconds_of_the_runs_are_from_the_first_start_to_the_last_end() -> None:
    months = [MonthRecord("2014-01", "success", started_at=at(2), ended_at=at(9)),
              MonthRecord("2014-02", "success", started_at=at(1), ended_at=at(5))]  # fmt: skip
    assert floor.runs_s(BackfillResult("success", "1", 12.0, months)) == 8.0


def test_the_page_of_the_floor_says_what_each_setting_changes() -> None:
    rows = [
        {"orchestrator": "dagster", "settings": settings, "round": 1, "months": 12, "wall_s": wall, "cpu_s": 3.0,
         "peak_mb": 1.0, "runs_s": 7.0}
        for settings, wall in (("tuned", 10.0), ("shipped", 60.0), ("without dagster.a", 50.0),
                               ("without dagster.b", 30.0))
    ]  # fmt: skip
    page = floor_page.page({**FACTS, "rows": rows, "settings": [each.to_json() for each in SETTINGS]})
    assert "| `dagster.b` | 2 | 30 | 10.0 | 30.0 | 3.00 |" in page
    assert "| dagster, tuned | 10.0 | 7.00 | 3.00 | 3.00 |" in page


def test_without_single_settings_the_page_of_the_floor_lists_them_only() -> None:
    row = {"orchestrator": "dagster", "months": 12, "cpu_s": 3.0, "peak_mb": 1.0, "runs_s": 7.0}
    rows = [{**row, "settings": "tuned", "round": number, "wall_s": 9.0 + number} for number in (1, 2, 3)]
    page = floor_page.page({**FACTS, "rows": rows, "settings": [each.to_json() for each in SETTINGS]})
    assert "| `dagster.b` | 2 | 30 |\n" in page and "one by one" in page
    assert "| dagster, tuned | 11.0 (10.0 - 12.0) |" in page and "| dagster, shipped | - |" in page
