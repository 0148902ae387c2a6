"""What the benchmark of many tasks, many runs and edits computes from records, and what its page says of it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.harness.measure import BenchmarkError
from benchmarks.orchestrators import curves, curves_page, edits, place, scale, subjects, turns
from benchmarks.orchestrators.curves_cells import cell
from benchmarks.orchestrators.shapes import ISOLATIONS, PAST_RUN, PAST_RUNS, RUN_PROCESSES, TASK_PROCESSES, wide
from core.lab.protocol import Pipeline, RunRecord, RunState, TaskRecord
from core.lab.runs import Runs
from core.settings import settings
from tests.unit.test_bench_chains import FACTS, at


def run(run_id: str, state: RunState = "success", created: float = 0, ended: float | None = 5) -> RunRecord:
    return RunRecord(
        "airflow", "p", run_id, state, "manual", created_at=at(created), started_at=at(created + 1),
        ended_at=None if ended is None else at(ended),
    )  # fmt: skip


class Fake:
    """Runs whose list is what it is told, one answer after the other; the last one stays."""

    def __init__(self, *answers: list[RunRecord], pipelines: tuple[Pipeline, ...] = ()) -> None:
        self.answers = list(answers)
        self.started: list[dict[str, Any]] = []
        self.canceled: list[str] = []
        description = SimpleNamespace(pipelines=list(pipelines))
        self.orchestrator = SimpleNamespace(name="airflow")
        self.lab = SimpleNamespace(stack=lambda _: SimpleNamespace(description=description))
        self.record = run("r1")

    def newest(self, _pipeline: str | None = None, limit: int = 20) -> list[RunRecord]:
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return found[:limit]

    def start(self, pipeline: str, parameters: dict[str, Any]) -> str:
        self.started.append({"pipeline": pipeline, **parameters})
        return "r1"

    def start_many(self, pipeline: str, parameters: dict[str, Any], count: int, _: float | None = None) -> list[str]:
        self.started.append({"pipeline": pipeline, **parameters, "count": count})
        return [f"r{number}" for number in range(1, count + 1)]

    def observe(self, *_: object, **__: object) -> RunRecord:
        return self.record

    def cancel(self, _: str, run_id: str) -> None:
        self.canceled.append(run_id)

    @property
    def runs(self) -> Runs:
        return cast(Runs, self)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "LOOK_S", 0.0)
    monkeypatch.setattr(scale, "GONE_S", 0.0)


# --- many tasks, many runs


def test_all_runs_are_awaited_and_no_others() -> None:
    under_way = [run("r1"), run("r2", "running", ended=None), run("other")]
    fake = Fake([run("r1"), run("other")], under_way, [run("r1"), run("r2"), run("other", "running", ended=None)])
    assert {key: each.state for key, each in scale.wait(fake.runs, "p", ["r1", "r2"], 9.0).items()} == {
        "r1": "success", "r2": "success",
    }  # fmt: skip
    assert len(fake.answers) == 1


def test_after_the_deadline_there_are_the_records_so_far() -> None:
    fake = Fake([run("r1"), run("r2", "queued", ended=None)])
    assert scale.wait(fake.runs, "p", ["r1", "r2"], 0.0)["r2"].state == "queued"


@pytest.mark.parametrize(
    ("states", "count", "said"),
    [
        (["success", "success"], 2, "ended"),
        (["success"], 2, "not ended"),
        (["success", "running"], 2, "not ended"),
        (["success", "failed"], 2, "failed"),
        ([], 1, "not ended"),
    ],
)
def test_the_state_of_a_measurement_is_that_of_all_its_runs(states: list[RunState], count: int, said: str) -> None:
    assert scale.state_of([run(str(number), state) for number, state in enumerate(states)], count) == said


def test_the_seconds_are_from_the_first_creation_to_the_last_end() -> None:
    found = scale.spanned([run("a", created=1, ended=4), run("b", created=3, ended=9), run("c", "queued", 5, None)])
    assert found == {"run_s": 8.0, "submit_s": 4.0, "ended": 2}
    assert scale.spanned([run("a", "queued", ended=None)]) == {"run_s": None, "submit_s": 0.0, "ended": 0}
    assert scale.spanned([]) == {"run_s": None, "submit_s": None, "ended": 0}


def test_a_run_of_many_tasks_is_told_how_many() -> None:
    fake = Fake([run("r1", created=1, ended=4)])
    row = scale.many_tasks(fake.runs, TASK_PROCESSES, 10, 9.0)
    assert row == {"what": "tasks", "tasks": 10, "state": "ended", "run_s": 3.0, "ended": 10}
    assert fake.started == [{"pipeline": wide(TASK_PROCESSES).name, "tasks": 10}]


def test_a_run_that_does_not_end_is_a_row_that_says_how_far_it_was_and_is_canceled() -> None:
    fake = Fake([run("r1", "running", ended=None)])
    tasks = [TaskRecord("numbers", "success", 1), TaskRecord("step[0]", "success", 1), TaskRecord("step", "queued", 0)]
    fake.record = replace(run("r1", "running", ended=None), tasks=tasks)
    row = scale.many_tasks(fake.runs, TASK_PROCESSES, 2, 0.0)
    assert (row["state"], row["run_s"], row["ended"], row["deadline_s"]) == ("not ended", None, 1, 0.0)
    assert fake.canceled == ["r1"]


def test_of_many_runs_the_row_says_how_many_have_ended() -> None:
    row = scale.many_runs(Fake([run("r1"), run("r2", "running", ended=None)]).runs, RUN_PROCESSES, 2, 0.0)
    assert (row["state"], row["ended"], row["runs"], row["deadline_s"]) == ("not ended", 1, 2, 0.0)


@pytest.mark.parametrize(
    ("pipeline", "started"),
    [
        (PAST_RUN, {"pipeline": "past_run", "count": 2}),
        # The run that makes the others is one of the history too.
        (PAST_RUNS, {"pipeline": "past_runs", "runs": 1}),
    ],
)
def test_the_history_is_filled_with_what_is_missing(pipeline: Pipeline, started: dict[str, Any]) -> None:
    fake = Fake([run("old")], [run("r1"), run("r2")], [run("old"), run("r1"), run("r2")], pipelines=(pipeline,))
    assert scale.fill(fake.runs, 3, 0.0) == 3
    assert fake.started == [started]


def test_a_history_that_can_not_be_filled_is_an_error() -> None:
    fake = Fake([run("r1", "failed")], pipelines=(PAST_RUNS,))
    with pytest.raises(BenchmarkError, match="a run of past_runs failed"):
        scale.fill(fake.runs, 3, 0.0)


def test_a_size_that_is_not_reached_is_a_row_and_the_last_one() -> None:
    fake = Fake([run("old")], pipelines=(PAST_RUN,))
    (row,) = scale.history(fake.runs, TASK_PROCESSES, [3, 4], samples=2, deadline_s=0.0)
    assert (row["state"], row["runs"], row["there"]) == ("not ended", 3, 1)


# --- what is measured, and what is not tried again

SIZES = turns.Sizes([1, 100, 400], runs=3, history=[1], samples=1, rounds=1, deadline_s=9.0)


def line(kind: str = TASK_PROCESSES) -> turns.Line:
    return turns.Line(cast(Any, SimpleNamespace(name="airflow")), kind, is_first=True)


def test_what_takes_minutes_is_measured_once() -> None:
    assert (SIZES.small(), SIZES.large()) == ([1, 100], [400])
    assert curves.numbers("100,1,100") == [1, 100]


def test_what_did_not_end_is_not_tried_again_on_its_line_nor_is_anything_larger() -> None:
    fake, stopped = Fake([run("r1", "running", ended=None)]), turns.Stopped()
    (row,) = turns.tasks(fake.runs, line(), [1, 100], stopped, 0.0)
    assert row["tasks"] == 1 and list(turns.tasks(fake.runs, line(), [400], stopped, 0.0)) == []
    assert not stopped.has(line(RUN_PROCESSES), "tasks")
    stopped.note(line(), {"what": "edit", "edit": "task", "state": "not ended"})
    assert stopped.has(line(), "edit", "task") and not stopped.has(line(), "edit", "constant")


def test_what_failed_does_not_keep_a_larger_size_from_being_tried() -> None:
    stopped = turns.Stopped()
    stopped.note(line(), {"what": "tasks", "state": "failed"})
    assert not stopped.has(line(), "tasks")


def test_plain_python_does_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.orchestrators.chains.FIBONACCI", ["true"])
    found = [(row["isolation"], row["what"], row["ended"]) for row in curves.zero_lines(replace(SIZES, tasks=[1, 2]))]
    work = [("tasks", 1), ("tasks", 2), ("runs", 3)]
    assert found == [(kind, *each) for kind in ("in-process", "process per task") for each in work]


# --- edits


@pytest.mark.parametrize("name", edits.FILES)
def test_each_edit_changes_the_copy_and_leaves_a_file_that_python_reads(name: str, tmp_path: Path) -> None:
    here = edits.copied(replace(settings(), home=tmp_path / "state"))
    path = edits.file_of(here, name)
    original = Path(subjects.__path__[0], "edited", edits.FILES[name])
    assert here.passed_on["PYTHONPATH"] == str(tmp_path / "code")
    assert here.passed_on[next(iter(place.SUBJECTS))] == "copied_subjects"
    before = original.read_text()
    for change, _ in edits.EDITS.values():
        text = path.read_text()
        path.write_text(change(text, name))
        ast.parse(path.read_text())
    assert edits.EDIT in path.read_text() and path.read_text().count(edits.SECOND[name]) == 1
    assert original.read_text() == before
    # The next round begins with the file as it was.
    edits.copied(replace(settings(), home=tmp_path / "state"))
    assert path.read_text() == before


def shown(value: str = "as written", *names: str) -> RunRecord:
    step = TaskRecord("step", "success", 1, at(2), returned={"value": value})
    return replace(run("r1"), tasks=[step, *(TaskRecord(name, "success", 1) for name in names)])


def test_an_edit_is_seen_in_what_a_run_did() -> None:
    assert [bool(edits.shows_constant(shown(value))) for value in ("as written", "as edited")] == [False, True]
    assert [bool(edits.shows_task(each)) for each in (shown(), shown("as written", "second"))] == [False, True]


def test_runs_are_started_until_one_shows_the_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, answers = tmp_path / "airflow_dags.py", [shown(), shown("as edited")]
    path.write_text("VALUE = 'as written'")
    fake = Fake([])
    monkeypatch.setattr(fake, "observe", lambda *_, **__: answers.pop(0))
    row = edits.edit(fake.runs, path, edits.CONSTANT, 60.0)
    assert (row["state"], row["runs"], path.read_text()) == ("ended", 2, "VALUE = 'as edited'")
    # The task starts a second after its run.
    assert round(row["seen_s"] - row["start_s"], 3) == 1.0
    assert edits.edit(fake.runs, path, edits.TASK, 0.0) == {
        "what": "edit", "edit": "task", "state": "not ended", "seen_s": None, "runs": 0, "deadline_s": 0.0,
    }  # fmt: skip


# --- the page


def row(
    what: str, name: str = "airflow", kind: str = TASK_PROCESSES, state: str = "ended", **more: Any
) -> dict[str, Any]:
    return {"round": 1, "orchestrator": name, "isolation": ISOLATIONS[kind], "what": what, "state": state, **more}


def rows() -> list[dict[str, Any]]:
    dagster = {"name": "dagster", "kind": RUN_PROCESSES}
    return [
        *(row("start", up_s=seconds, first_s=seconds + 2.0) for seconds in (10.0, 20.0, 30.0)),
        row("tasks", tasks=1, run_s=2.0, ended=1),
        row("tasks", tasks=400, run_s=100.0, ended=400),
        row("tasks", tasks=1000, run_s=None, ended=480, state="not ended", deadline_s=120.0),
        row("tasks", **dagster, tasks=1, run_s=None, ended=0, state="failed", error="a|b"),
        row("runs", runs=200, run_s=100.0, submit_s=8.0, ended=200),
        row("runs", **dagster, runs=200, run_s=100.0, submit_s=30.0, ended=50, state="not ended", deadline_s=120.0),
        *(row("history", runs=100, there=101, run_s=seconds, list_s=0.5) for seconds in (1.0, 2.0, 3.0)),
        row("history", **dagster, runs=300, there=120, state="not ended", deadline_s=120.0),
        row("edit", edit="constant", seen_s=0.5, runs=1),
        row("edit", **dagster, edit="task", seen_s=None, runs=9, state="not ended", deadline_s=60.0),
        row("edit", **dagster, edit="restart", seen_s=7.0, runs=1),
    ]


def test_the_page_shows_what_ended_and_says_what_did_not() -> None:
    made = curves_page.page({**FACTS, "deadline_s": 120.0, "settings": [], "rows": rows()})
    for said in (
        "| airflow, process per task | 20.0 (10.0 - 30.0) | 22.0 (12.0 - 32.0) |",
        "| airflow, process per task | 2.00 | 100 | not ended after 120 s, 480 of 1,000 done |",
        "| dagster, process per run | failed: a\\|b | - | - |",
        "| airflow, process per task | 2,000 | 250 | not ended after 120 s, 480 of 1,000 done |",
        "| airflow, process per task | 0.50 | 4.00 | - |",
        "| airflow, process per task | 100 | 2.00 | 200 of 200 | 8.00 |",
        "| dagster, process per run | 100 | 0.50 | 50 of 200 | 30.0 |",
        "| airflow, process per task | 101 | 2.00 (1.00 - 3.00) | 0.50 (0.50 - 0.50) |",
        "| dagster, process per run | 120 | not ended after 120 s | not ended after 120 s |",
        "| airflow, process per task | 0.50 | - | - |",
        "| dagster, process per run | - | not ended after 60.0 s | 7.00 |",
    ):
        assert said in made


def test_a_cell_says_how_many_of_its_rounds_did_not_end() -> None:
    some = [row("tasks", run_s=2.0), row("tasks", run_s=None, state="not ended")]
    assert cell(some, "run_s") == "2.00, 1 of 2 did not end"
    assert cell([], "run_s") == "-"
