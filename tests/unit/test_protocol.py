"""The runner protocol: the messages that pass between processes, and how errors arrive."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core import waiting
from core.errors import NotPublished, PermanentError, SourceUnavailable, TransientError, UsageError
from core.lab.protocol import (
    BackfillRequest,
    BackfillResult,
    Description,
    Message,
    MonthRecord,
    Parameter,
    Pipeline,
    ProcessList,
    ProcessRecord,
    Progress,
    RunList,
    RunRecord,
    RunRequest,
    RunState,
    ScheduleRequest,
    Services,
    StartRequest,
    Step,
    TaskRecord,
    TicksRequest,
    follow,
    month_of_run,
    month_record,
    progress_path,
    read_result,
    run_verbs,
    schedule_verbs,
    serve,
    write_json,
)
from core.run import TASKS
from core.waiting import patiently, until


def tasks(**states: str) -> list[TaskRecord]:
    return [TaskRecord(name, states.get(name, "success"), 1) for name in TASKS]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        Services({"A": "1"}, [Step(run=["x"], once=True), Step(wait="http://h")], web="http://h"),
        BackfillResult("failed", "1", 2.5, [month_record("2024-01", tasks(), {}, "broken")], ["a note"]),
        BackfillRequest(["2024-01"], "sample", "s"),
        Description("x", "X", "1", [], pipelines=[Pipeline("p", ["a"], "a", "none", {"n": Parameter("how many", 3)})]),
        RunList([RunRecord("x", "p", "1", "running", "event", tasks=[TaskRecord("a", "running", 2, returned=[1])])]),
        ProcessList([ProcessRecord("run", "r", 1, "1")]),
        StartRequest("p", {"n": 4}, "2024-01", endpoint={"home": "/x"}),
        TicksRequest("p", "2024-01-01T00:00:00Z", "2024-03-01T00:00:00Z", endpoint={"home": "/x"}),
        ScheduleRequest("p", active=True, endpoint={"home": "/x"}),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_survives_the_passage(message: Message) -> None:
    assert type(message).from_json(json.loads(json.dumps(message.to_json()))) == message


@pytest.mark.parametrize("data", [{"months": []}, {"months": [], "source": "", "schema": "", "monhts": []}])
def test_a_missing_and_an_unknown_key_are_refused(data: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="BackfillRequest: "):
        BackfillRequest.from_json(data)


@pytest.mark.parametrize("message", [Services, RunList, ProcessList, BackfillResult])
def test_a_missing_list_is_refused_as_any_missing_key_is(message: type[Message]) -> None:
    with pytest.raises(UsageError, match=f"{message.__name__}: .*missing"):
        message.from_json({})


def test_run_parameters_hold_no_more_than_the_steps_need() -> None:
    request = BackfillRequest(["2024-01"], "sample", "s", {"home": "/x"}, force=True)
    assert replace(request, pipeline="other", values={"n": 4}).parameters == {"n": 4}
    assert request.parameters == {
        "source": "sample", "schema": "s", "strategy": "swap", "force": True,
        "accept_suspect": False, "strict": False, "dataset": "green",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("records", "receipt", "error", "state"),
    [
        (tasks(), {"state": "success"}, None, "success"),
        (tasks(ingest_month="unchanged"), {"state": "unchanged"}, None, "unchanged"),
        (tasks(), {"state": "success"}, "broken", "failed"),
        (tasks(check="failed"), {"state": "success"}, None, "failed"),
        (tasks()[:2], {"state": "success"}, None, "failed"),
        ([], {}, None, "failed"),
    ],
)
def test_a_month_fails_when_one_of_its_steps_does(
    records: list[TaskRecord], receipt: dict[str, object], error: str | None, state: str
) -> None:
    record = month_record("2024-01", records, {"ingest_month": receipt}, error)
    assert record.state == state
    assert bool(record.error) == (state == "failed")


def test_a_month_shows_its_ingest_step_and_its_span() -> None:
    records = [
        TaskRecord("report", "success", 1, "2024-01-01T00:00:03+00:00", "2024-01-01T00:00:04+00:00"),
        TaskRecord("check", "success", 1),
        TaskRecord("transform", "success", 1),
        TaskRecord("ingest_month", "success", 3, "2024-01-01T00:00:01+00:00", "2024-01-01T00:00:02+00:00", 7),
        TaskRecord("ingest_zones", "success", 1, "2024-01-01T00:00:00+00:00", "2024-01-01T00:00:01+00:00"),
    ]
    record = month_record("2024-01", records, {"ingest_month": {"rows": 7, "digest": "d", "source_sha256": "s"}}, None)
    assert (record.attempts, record.rows, record.digest, record.source_sha256) == (3, 7, "d", "s")
    assert (record.started_at, record.ended_at) == ("2024-01-01T00:00:00+00:00", "2024-01-01T00:00:04+00:00")
    assert [task.task for task in record.tasks] == list(TASKS)


OTHER = Pipeline("other", ["fetch", "publish"], main="publish")


def test_a_month_of_another_pipeline_has_its_steps() -> None:
    records = [
        TaskRecord("publish", "success", 2),
        TaskRecord("extra", "success", 1),
        TaskRecord("fetch", "success", 1),
    ]
    receipts: dict[str, dict[str, Any]] = {
        "publish": {"rows": 7, "state": "unchanged", "warnings": ["b"]},
        "fetch": {"warnings": ["a"]},
    }
    record = month_record("2024-01", records, receipts, None, OTHER)
    assert (record.state, record.attempts, record.rows, record.warnings) == ("unchanged", 2, 7, ["a", "b"])
    assert [task.task for task in record.tasks] == ["fetch", "publish", "extra"]


def test_a_month_of_another_pipeline_fails_without_one_of_its_steps() -> None:
    record = month_record(
        "2024-01", [TaskRecord("fetch", "success", 2), TaskRecord("publish", "upstream failed", 0)], {}, None, OTHER
    )
    assert (record.state, record.error, record.attempts) == ("failed", "did not run: publish", 2)


def test_a_month_has_the_warnings_of_all_its_steps() -> None:
    receipts: dict[str, dict[str, Any]] = {
        "check": {"warnings": ["c"]},
        "ingest_month": {"warnings": ["a", "b"]},
        "ingest_zones": {"rows": 1},
    }
    record = month_record("2024-01", tasks(), receipts, None)
    assert (record.warnings, record.summary) == (["a", "b", "c"], "success, 3 warnings")
    assert MonthRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_the_summary_of_a_month() -> None:
    assert MonthRecord("2024-01", "unchanged").summary == "unchanged"
    assert MonthRecord("2024-01", "unchanged", warnings=["w"]).summary == "unchanged, 1 warning"


def test_one_failed_month_fails_the_backfill() -> None:
    months = [MonthRecord("2024-01", "success"), MonthRecord("2024-02", "failed", error="broken")]
    assert BackfillResult.of("1", 0.0, months).status == "failed"
    assert BackfillResult.of("1", 0.0, months[:1]).status == "success"


@pytest.mark.parametrize(
    ("error", "arrives_as"),
    [(UsageError, UsageError), (NotPublished, PermanentError), (SourceUnavailable, TransientError)],
)
def test_a_known_error_arrives_as_one(
    tmp_path: Path, error: type[Exception], arrives_as: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise error("no such thing")

    write_json(tmp_path / "request", {})
    assert serve({"do": fail}, ["do", str(tmp_path / "request"), str(tmp_path / "result")]) == 0
    with pytest.raises(arrives_as, match="no such thing"):
        read_result(tmp_path / "result")
    assert "Traceback" in capsys.readouterr().err, "the log has the traceback"


def test_a_bug_leaves_no_result(tmp_path: Path) -> None:
    write_json(tmp_path / "request", {})
    with pytest.raises(ZeroDivisionError):
        serve({"do": lambda *_: 1 / 0}, ["do", str(tmp_path / "request"), str(tmp_path / "result")])
    assert [path.name for path in tmp_path.iterdir()] == ["request"]


def test_progress_is_written_once_per_change(tmp_path: Path) -> None:
    path = progress_path(tmp_path / "result.json")
    report = Progress(path)
    for state in ("waiting", "running", "running", "success"):
        report("2024-01", state)
    report("2024-02", "running", "half way")
    seen = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(fact["month"], fact["state"], fact["detail"]) for fact in seen] == [
        ("2024-01", "waiting", ""), ("2024-01", "running", ""), ("2024-01", "success", ""),
        ("2024-02", "running", "half way"),
    ]  # fmt: skip


def test_progress_has_the_last_step_under_way_and_its_attempt(tmp_path: Path) -> None:
    path = progress_path(tmp_path / "result.json")
    report = Progress(path)
    for under_way in ({"ingest_zones": 1}, {"ingest_zones": 1, "ingest_month": 1}, {"ingest_month": 1}, {}):
        report("2024-01", "running", under_way=under_way)
    report("2024-01", "running", under_way={"ingest_month": 2})
    seen = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(fact["task"], fact["attempt"]) for fact in seen] == [
        ("ingest_zones", 1), ("ingest_month", 1), ("", 0), ("ingest_month", 2),
    ]  # fmt: skip


def test_progress_has_the_cause_of_a_failure(tmp_path: Path) -> None:
    path = progress_path(tmp_path / "result.json")
    Progress(path)("2024-01", "failed", record=MonthRecord("2024-01", "failed", error="no file", warnings=["odd"]))
    assert json.loads(path.read_text())["detail"] == "no file"


def test_progress_counts_the_warnings_of_a_month_that_ended(tmp_path: Path) -> None:
    path = progress_path(tmp_path / "result.json")
    Progress(path)("2024-01", "success", record=MonthRecord("2024-01", "success", warnings=["odd"]))
    assert json.loads(path.read_text())["detail"] == "1 warning"


PARAMETERS = {
    "where": Parameter("a place"),
    "often": Parameter("a number", 3),
    "loud": Parameter("a switch", False),
    "how": Parameter("a choice", "fast", ["fast", "slow"]),
}
FORM = Pipeline("form", ["a"], "a", "optional", PARAMETERS)


def test_a_value_has_the_type_of_its_parameter() -> None:
    given = {"where": "7", "often": "7", "loud": "True", "how": "slow"}
    assert FORM.values(given) == {"where": "7", "often": 7, "loud": True, "how": "slow"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"wher": "x"}, "form has no parameter 'wher': choose from where, often, loud, how"),
        ({"often": "7.5"}, "form can't take often=7.5: write a whole number"),
        ({"loud": "1"}, "form can't take loud=1: write true or false"),
        ({"how": "fst"}, "form can't take how=fst: choose from fast, slow"),
    ],
)
def test_a_wrong_value_is_a_clear_line(given: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        FORM.values(given)
    assert str(error.value) == message


def test_a_run_needs_what_its_pipeline_says() -> None:
    FORM.check(None, {"where": "x"})
    FORM.check("2024-01", {"where": "x"})
    with pytest.raises(UsageError, match=r"form needs the parameter where, as in --set where=\.\.\.: a place"):
        FORM.check(None, {})
    with pytest.raises(UsageError, match="needs a month"):
        replace(FORM, month="required").check(None, {"where": "x"})
    with pytest.raises(UsageError, match="takes no month"):
        replace(FORM, month="none").check("2024-01", {"where": "x"})


class Asked:
    """Schedules that note what is asked of them, for a client that is a text."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def switch(self, client: str, wanted: ScheduleRequest) -> None:
        self.asked.append((client, wanted.pipeline, wanted.active))

    def catch_up(self, client: str, wanted: TicksRequest) -> list[str]:
        self.asked.append((client, wanted.pipeline, wanted.since, wanted.until))
        return ["1", "2"]


def test_the_verbs_of_schedules_ask_the_client_of_an_endpoint(tmp_path: Path) -> None:
    schedules, progress = Asked(), Progress(tmp_path / "progress")
    verbs = schedule_verbs(lambda endpoint: nullcontext(endpoint["home"]), schedules)
    at = {"pipeline": "p", "endpoint": {"home": "/x"}}
    assert verbs["schedule"]({**at, "active": False}, progress) == {}
    assert verbs["catch_up"]({**at, "since": "a", "until": "b"}, progress) == {"run_ids": ["1", "2"]}
    assert schedules.asked == [("/x", "p", False), ("/x", "p", "a", "b")]


def test_many_runs_are_started_with_one_client(tmp_path: Path) -> None:
    clients: list[object] = []
    asked: list[object] = []

    class Started:
        def start(self, client: str, wanted: StartRequest) -> str:
            asked.append((client, wanted.pipeline, wanted.parameters, wanted.month))
            return f"r{len(asked)}"

    def connected(endpoint: dict[str, Any]) -> nullcontext[str]:
        clients.append(endpoint)
        return nullcontext(endpoint["home"])

    verbs = run_verbs(connected, cast(Any, Started()), every_s=0)
    wanted = {"pipeline": "p", "parameters": {"a": 1}, "count": 2, "endpoint": {"home": "/x"}}
    assert verbs["start_many"](wanted, Progress(tmp_path / "progress")) == {"run_ids": ["r1", "r2"]}
    assert asked == [("/x", "p", {"a": 1}, None)] * 2 and len(clients) == 1


def test_no_further_run_is_started_once_the_time_is_over(tmp_path: Path) -> None:
    starts = SimpleNamespace(start=lambda client, wanted: "r")
    verbs = run_verbs(lambda endpoint: nullcontext(None), cast(Any, starts), every_s=0)
    wanted = {"pipeline": "p", "parameters": {}, "count": 2, "within_s": 0.0}
    assert verbs["start_many"](wanted, Progress(tmp_path / "progress")) == {"run_ids": []}


def test_runs_in_turn_start_once_the_one_before_has_ended_and_are_recorded_at_the_end(tmp_path: Path) -> None:
    done: list[str] = []
    looks = iter(["running", "success", "success"])

    class InTurn:
        def start(self, client: None, wanted: StartRequest) -> str:
            done.append("start")
            return f"r{done.count('start')}"

        def newest(self, client: None, pipeline: str, limit: int) -> list[RunRecord]:
            done.append("look")
            state = cast(RunState, next(looks))
            return [RunRecord("x", pipeline, f"r{done.count('start')}", state, "manual", ended_at="then")]

        def observed(self, client: None, pipeline: str, run_id: str) -> RunRecord:
            done.append(run_id)
            return RunRecord("x", pipeline, run_id, "success", "manual")

    verbs = run_verbs(lambda endpoint: nullcontext(None), cast(Any, InTurn()), every_s=0)
    wanted = {"pipeline": "p", "parameters": {}, "count": 2}
    answer = verbs["in_turn"](wanted, Progress(tmp_path / "progress"))
    assert done == ["start", "look", "look", "start", "look", "r1", "r2"]
    assert [RunRecord.from_json(each).run_id for each in answer["runs"]] == ["r1", "r2"]
    assert len(answer["wall_s"]) == 2 and min(answer["wall_s"]) >= 0


def test_runs_are_looked_up_in_each_pipeline_and_those_that_are_gone_are_left_out(tmp_path: Path) -> None:
    class Recorded:
        def observed(self, client: str, pipeline: str, run_id: str) -> RunRecord:
            if (pipeline, run_id) not in [("p", "1"), ("q", "2")]:
                raise UsageError("no such run")
            return RunRecord(client, pipeline, run_id, "success", "manual")

    verbs = run_verbs(lambda endpoint: nullcontext(endpoint["home"]), cast(Any, Recorded()), every_s=0)
    wanted = {"run_ids": ["2", "3", "1"], "pipelines": ["p", "q"], "endpoint": {"home": "/x"}}
    progress = tmp_path / "progress"
    found = cast(RunList, verbs["look_up"](wanted, Progress(progress)))
    assert [(run.orchestrator, run.pipeline, run.run_id) for run in found.runs] == [("/x", "q", "2"), ("/x", "p", "1")]
    assert progress.read_text().count("\n") == 3, "it is alive"


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        ("success", None, ("success", None)),
        ("failed", "broken", ("failed", "broken")),
        ("canceled", None, ("failed", "the run ended canceled")),
    ],
)
def test_a_month_of_another_pipeline_is_its_run(state: RunState, error: str | None, said: tuple[str, str]) -> None:
    task = TaskRecord("a", "success", 2, returned={"rows": 4, "warnings": ["odd"]})
    run = RunRecord("x", "p", "1", state, "backfill", "2024-01", tasks=[task], error=error)
    month = month_of_run(run, Pipeline("p", ["a"], "a"))
    assert (month.month, month.state, month.error) == ("2024-01", *said)
    assert (month.attempts, month.rows, month.warnings) == (2, 4, ["odd"])


def test_a_description_lists_the_verbs_of_its_runner(tmp_path: Path) -> None:
    def describe(*_: object) -> Description:
        return Description("x", "X", "1", [])

    write_json(tmp_path / "request", {})
    serve({"describe": describe, "runs": describe}, ["describe", str(tmp_path / "request"), str(tmp_path / "result")])
    found = Description.from_json(read_result(tmp_path / "result"))
    assert found.verbs == ["describe", "runs"]
    with pytest.raises(UsageError, match="x can't `start` yet"):
        found.check_verb("start")


def test_a_run_is_followed_to_its_end_or_for_a_time(tmp_path: Path) -> None:
    steps = [TaskRecord("load", "running", 2), TaskRecord("zones", "running", 1)]
    states = [
        RunRecord("x", "p", "1", "queued", "manual", "2024-01"),
        RunRecord("x", "p", "1", "running", "manual", "2024-01", tasks=steps),
        RunRecord("x", "p", "1", "failed", "manual", "2024-01", error="broken"),
    ]
    path, left = progress_path(tmp_path / "result"), iter(states)
    assert follow(RunRequest("p", "1", None), lambda: next(left), Progress(path), 0) == states[-1]
    seen = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(fact["month"], fact["state"], fact["task"], fact["attempt"], fact["detail"]) for fact in seen] == [
        ("2024-01", "queued", "", 0, ""),
        ("2024-01", "running", "zones", 1, ""),
        ("2024-01", "failed", "", 0, "broken"),
    ]
    assert follow(RunRequest("p", "1"), lambda: states[1], Progress(path), 3600) == states[1], "a single look"


def test_waiting_ends_with_a_value_or_a_deadline() -> None:
    answers = iter([None, None, 3])
    assert until(lambda: next(answers), 10, 0, "an answer") == 3
    with pytest.raises(TransientError, match=r"an answer: not done after 0 s"):
        until(lambda: None, 0, 0, "an answer")


def test_a_transient_error_is_retried_for_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PAUSE_S", 0)
    faults = [SourceUnavailable("first"), SourceUnavailable("second")]

    def call() -> int:
        if faults:
            raise faults.pop(0)
        return 3

    assert patiently(call, 60) == 3
    faults = [SourceUnavailable("first"), SourceUnavailable("second")]
    with pytest.raises(SourceUnavailable, match="first"):
        patiently(call, 0)
    faults = [NotPublished("for good"), SourceUnavailable("never asked")]  # type: ignore[list-item]
    with pytest.raises(NotPublished):
        patiently(call, 60)


def test_it_imports_nothing_but_the_standard_library() -> None:
    code = "import sys, core.lab.protocol; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) - sys.stdlib_module_names <= {"core", "__main__"}
