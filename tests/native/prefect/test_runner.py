"""The parts of the runner that need no services: its settings, how it reads the server's answers, and how it waits."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import prefect.settings
import pytest
import yaml  # type: ignore[import-untyped]  # comes with Prefect, without types

from core import waiting
from core.errors import PermanentError, TransientError
from core.lab.capabilities import CAPABILITIES
from core.lab.protocol import ONE_THREAD, BackfillRequest, BackfillResult, Endpoint, Progress, Services
from core.run import TASKS
from prefect_impl.lab import backfill as parent
from prefect_impl.lab import client, further_pipelines, runner
from prefect_impl.lab import services as stack
from prefect_impl.lab.client import Json, Prefect
from prefect_impl.lab.history import cause, one_line, record, settled, task_record
from prefect_impl.lab.services import SETTINGS, services

README = Path(runner.__file__).parent.parent / "README.md"
# However long the tests take, no run that ended then has settled.
JUST_NOW = "2999-01-01T00:00:00Z"
LONG_AGO = "2024-01-01T00:00:00Z"

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "progress")


@pytest.fixture
def up(tmp_path: Path) -> Services:
    return services(Endpoint(str(tmp_path), {"api": 14200}))


def server(answer: Answer, patience_s: float = 0) -> Prefect:
    """A client of a server that is a function."""
    return Prefect("http://127.0.0.1:1", httpx.MockTransport(answer), patience_s)


def flow_run(month: str, state: str = "COMPLETED", ended: str = LONG_AGO, message: str = "") -> Json:
    parameters, words = {"month": month}, {"name": state.title(), "message": message}
    return {
        "id": f"{month} {state}", "parameters": parameters, "state_type": state, "state": words, "run_count": 1,
        "start_time": ended, "end_time": ended,
    }  # fmt: skip


def task_run(name: str, state: str = "COMPLETED", message: str = "", **values: Any) -> Json:
    named = {"state_type": state, "state_name": state.title(), "state": {"name": state.title(), "message": message}}
    return {
        "task_key": f"{name}-72c4b9c8",
        "name": f"{name}-5ca",
        "flow_run_id": "2024-01 COMPLETED",
        "run_count": 1,
        "start_time": LONG_AGO,
        "end_time": LONG_AGO,
        **named,
        **values,
    }


# --- describe and services


def test_describe_names_known_capabilities(progress: Progress) -> None:
    description = runner.describe({}, progress)
    assert (description.name, description.version) == ("prefect", "3.9.1")
    assert set(description.capabilities) <= set(CAPABILITIES)


def test_everything_listens_on_loopback(up: Services) -> None:
    assert up.web == "http://127.0.0.1:14200"
    assert up.env["PREFECT_API_URL"] == "http://127.0.0.1:14200/api"
    assert [step.name for step in up.steps if step.start] == ["server", "engine", "worker"]
    server = next(step.start for step in up.steps if step.start)
    assert server[2:] == ["start", "--host", "127.0.0.1", "--port", "14200"]


def test_the_worker_has_no_limit_that_a_waiting_parent_could_use_up(up: Services) -> None:
    (worker,) = [step.start for step in up.steps if step.name == "worker"]
    assert worker is not None and "--limit" not in worker


@pytest.mark.parametrize("variable", [name for name in SETTINGS if name != "DO_NOT_TRACK"])
def test_every_setting_is_one_of_prefect_and_changes_its_default(variable: str) -> None:
    default = getattr(prefect.settings, variable).default()
    assert str(default).lower() != SETTINGS[variable][0]


def test_as_shipped_the_worker_polls_and_starts_runs_as_it_does_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", "all")
    up = stack.services(Endpoint(str(tmp_path), {"api": 1}))
    assert not {stack.QUERY, *ONE_THREAD} & up.env.keys()
    assert [step.name for step in up.steps if step.start] == ["server", "worker"]
    assert stack.POLL.shipped == f"{getattr(prefect.settings, stack.QUERY).default():g}"
    (deploy,) = [step.run for step in up.steps if step.name == "deploy"]
    assert deploy is not None
    ours, copy = (yaml.safe_load(Path(file).read_text()) for file in (stack.DEPLOYMENTS_FILE, deploy[-1]))
    assert all(each["work_pool"]["job_variables"]["command"] == stack.COMMAND.value for each in ours["deployments"])
    assert not any("command" in each["work_pool"]["job_variables"] for each in copy["deployments"])
    assert [each["entrypoint"] for each in copy["deployments"]] == [each["entrypoint"] for each in ours["deployments"]]
    assert "command" not in further_pipelines.work_pool()["job_variables"]


def test_several_servers_have_redis_and_a_balancer_and_start_one_after_the_other(tmp_path: Path) -> None:
    ports = {"api": 1, "server-1": 2, "server-2": 3, "redis": 4}
    up = stack.services(Endpoint(str(tmp_path), ports, scale={"server": 2, "worker": 2}))
    words = [step.name or str(step.wait) for step in up.steps if step.start or step.wait]
    health = [f"http://127.0.0.1:{port}/api/health" for port in (2, 3, 1)]
    servers = ["redis", "server-1", health[0], "server-2", health[1], "balancer"]
    assert words[:8] == [*servers, "engine", health[2]]
    assert [name for name in words if name.startswith("worker")] == ["worker-1", "worker-2"]
    assert up.env["PREFECT_API_URL"] == "http://127.0.0.1:1/api"
    assert {up.env["PREFECT_REDIS_MESSAGING_URL"], up.env["PREFECT_SERVER_DOCKET_URL"]} == {
        "redis://127.0.0.1:4/0", "redis://127.0.0.1:4/1",
    }  # fmt: skip
    redis = next(step.start for step in up.steps if step.name == "redis")
    assert redis is not None
    assert os.access(redis[0], os.X_OK), "the wheel's program can be executed"
    assert not any("REDIS" in name for name in stack.services(Endpoint(str(tmp_path), {"api": 1})).env)


def test_the_guard_can_stay_as_it_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack.RETRIED in stack.services(Endpoint(str(tmp_path), {"api": 1})).env
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", "guards")
    assert stack.RETRIED not in stack.services(Endpoint(str(tmp_path), {"api": 1})).env


def test_without_the_warm_engine_runs_start_as_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", stack.WARM.name)
    up = stack.services(Endpoint(str(tmp_path), {"api": 1}))
    assert [step.name for step in up.steps if step.start] == ["server", "worker"]
    assert stack.deployments_file(Endpoint(str(tmp_path), {"api": 1})) == stack.DEPLOYMENTS_FILE
    assert further_pipelines.work_pool()["job_variables"]["command"] == stack.COMMAND.value


def test_every_run_has_the_client_of_the_warm_engine_as_its_command(tmp_path: Path) -> None:
    stack.deployments_file(Endpoint(str(tmp_path), {"api": 1}))
    ours, copy = (
        yaml.safe_load(Path(file).read_text()) for file in (stack.DEPLOYMENTS_FILE, tmp_path / "prefect.yaml")
    )
    for each in ours["deployments"]:
        each["work_pool"]["job_variables"]["command"] = stack.WARM_COMMAND
    assert copy["deployments"] == ours["deployments"]
    assert further_pipelines.work_pool()["job_variables"]["command"] == stack.WARM_COMMAND
    assert shlex.split(stack.WARM_COMMAND)[-1] == str(stack.CLIENT) and stack.CLIENT.is_file()


def test_the_readme_shows_every_setting_with_its_reason() -> None:
    text = README.read_text()
    assert [name for name, (value, why) in SETTINGS.items() if f"| {name} | {value} | {why} |" not in text] == []


# --- the API


def test_a_filter_reads_every_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    things = [{"id": number} for number in range(5)]

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        return httpx.Response(200, json=things[asked["offset"] :][: asked["limit"]])

    assert server(answer).filter("flow_runs", {}) == things


@pytest.mark.parametrize(("code", "error"), [(500, TransientError), (404, PermanentError)])
def test_a_refusal_names_what_was_asked(code: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"Prefect refused GET /deployments/name/backfill/triptych: {code} words"):
        server(lambda _: httpx.Response(code, text="words")).start("backfill", {})


def test_a_server_that_does_not_answer_is_transient() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(TransientError, match="does not answer"):
        server(answer).state("id")


def test_the_runs_of_a_month_are_listed_oldest_first() -> None:
    runs = [flow_run("2024-01", "CRASHED"), flow_run("2024-02"), flow_run("2024-01")]
    months = server(lambda _: httpx.Response(200, json=runs)).months_of("id")
    assert {month: [run["state_type"] for run in runs] for month, runs in months.items()} == {
        "2024-01": ["CRASHED", "COMPLETED"],
        "2024-02": ["COMPLETED"],
    }


# --- what was recorded


LOADED = task_run("ingest_zones")
BOTH_LOADED = [LOADED, task_run("ingest_month")]


@pytest.mark.parametrize(
    ("run", "tasks", "saved", "over"),
    [
        (flow_run("2024-01", ended=JUST_NOW), [task_run(name) for name in TASKS], TASKS, True),
        (flow_run("2024-01", ended=JUST_NOW), [task_run(name) for name in TASKS[:3]], TASKS, False),
        (flow_run("2024-01", ended=JUST_NOW), [*BOTH_LOADED, task_run("report")], (*TASKS[:2], "report"), True),
        (flow_run("2024-01", "FAILED", JUST_NOW), [LOADED, task_run("ingest_month", "FAILED")], TASKS[:1], True),
        (flow_run("2024-01", "FAILED", JUST_NOW), [task_run("ingest_zones", "FAILED")], TASKS[1:2], False),
        (flow_run("2024-01", "FAILED", JUST_NOW), [task_run("ingest_month", "FAILED")], TASKS[:1], False),
        (flow_run("2024-01", "FAILED", JUST_NOW), [*BOTH_LOADED, task_run("transform", "FAILED")], TASKS[:2], True),
        (flow_run("2024-01", "FAILED", JUST_NOW), [*BOTH_LOADED, task_run("transform", "RUNNING")], TASKS[:2], False),
        (flow_run("2024-01", "FAILED", JUST_NOW), [*BOTH_LOADED, task_run("pending", "FAILED")], TASKS[:2], True),
        (flow_run("2024-01", "CRASHED", JUST_NOW), [task_run("ingest_month", "RUNNING")], (), False),
        (flow_run("2024-01", "CRASHED", LONG_AGO), [task_run("ingest_month", "RUNNING")], (), True),
        (flow_run("2024-01", "FAILED", LONG_AGO), [], (), True),
    ],
    ids=[
        "all of them", "one on its way", "two skipped", "failed load", "failed zones, month on its way",
        "failed month, zones on its way", "failed transform", "transform on its way", "failed branch", "just killed",
        "killed", "failed before its tasks",
    ],
)  # fmt: skip
def test_when_the_record_of_a_month_is_complete(run: Json, tasks: list[Json], saved: Sequence[str], over: bool) -> None:
    assert settled(run, tasks, {name: {} for name in saved}) is over


@pytest.mark.parametrize(
    ("state", "receipt", "said"),
    [
        ("COMPLETED", {"state": "success"}, "success"),
        ("COMPLETED", {"state": "unchanged"}, "unchanged"),
        ("COMPLETED", {}, "success"),
        ("FAILED", {}, "failed"),
        ("PENDING", {}, "upstream failed"),
        ("RUNNING", {}, "failed"),
    ],
)
def test_the_state_of_a_task(state: str, receipt: Json, said: str) -> None:
    assert task_record("check", [task_run("check", state)], receipt).state == said


def recorded(tasks: list[Json], receipts: list[Json]) -> Answer:
    """A server that recorded this of its runs."""

    def answer(request: httpx.Request) -> httpx.Response:
        tables = [{"flow_run_id": "2024-01 COMPLETED", "data": json.dumps([each])} for each in receipts]
        if len(receipts) > 1:
            tables[0]["flow_run_id"] = "2024-01 CRASHED"
        return httpx.Response(200, json=tasks if "task_runs" in request.url.path else tables)

    return answer


RECEIPT = {"task": "ingest_month", "state": "success", "rows": 7}


def test_the_attempts_of_a_killed_run_count() -> None:
    killed = task_run("ingest_month", "RUNNING", flow_run_id="2024-01 CRASHED", end_time=None, start_time="2023")
    tasks = [*(task_run(name) for name in TASKS), killed]
    month = record(server(recorded(tasks, [RECEIPT])), [flow_run("2024-01", "CRASHED"), flow_run("2024-01")])
    assert month is not None
    assert (month.state, month.attempts, month.rows, month.error) == ("success", 2, 7, None)
    assert [(task.state, task.attempts) for task in month.tasks] == [
        ("success", 2 if task.task == "ingest_month" else 1) for task in month.tasks
    ]
    assert (month.tasks[1].started_at, month.tasks[1].ended_at) == ("2023", LONG_AGO)


def test_the_attempt_of_a_run_that_was_killed_before_it_sent_anything_counts() -> None:
    tasks = [task_run(name) for name in TASKS]
    month = record(server(recorded(tasks, [RECEIPT])), [flow_run("2024-01", "CRASHED"), flow_run("2024-01")])
    assert month is not None and month.attempts == 2
    never_began = flow_run("2024-01", "CRASHED") | {"run_count": 0}
    month = record(server(recorded(tasks, [RECEIPT])), [never_began, flow_run("2024-01")])
    assert month is not None and month.attempts == 1


def test_what_a_killed_run_loaded_is_not_unchanged() -> None:
    again = RECEIPT | {"state": "unchanged"}
    tasks = [task_run(name) for name in TASKS]
    month = record(server(recorded(tasks, [RECEIPT, again])), [flow_run("2024-01", "CRASHED"), flow_run("2024-01")])
    assert month is not None and month.state == "success"
    month = record(server(recorded(tasks, [again])), [flow_run("2024-01")])
    assert month is not None and month.state == "unchanged"


def test_a_completed_run_is_a_success_even_when_the_server_lost_its_task_runs() -> None:
    month = record(server(recorded([task_run("ingest_month", "RUNNING")], [RECEIPT])), [flow_run("2024-01")])
    assert month is not None
    assert (month.state, month.attempts, month.rows, month.error) == ("success", 1, 7, None)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Task run encountered an exception BadFile: x is a web page", "x is a web page"),
        (
            "Flow run encountered an exception: UsageError: 'x' is not a month: write it so",
            "'x' is not a month: write it so",
        ),
        ("Task run encountered an exception KeyError: 'rows'", "KeyError: 'rows'"),
        ("Task run encountered an exception ValueError: two\n lines", "ValueError: two lines"),
        ("Process for flow run exited with status code: -9", "Process for flow run exited with status code: -9"),
    ],
)
def test_the_message_of_an_error(message: str, line: str) -> None:
    assert one_line(message) == line


def test_the_cause_is_the_first_failed_task_and_else_the_run() -> None:
    killed = flow_run("2024-01", "CRASHED", message="killed")
    tasks = [task_run("ingest_month", "FAILED", "second"), task_run("ingest_zones", "FAILED", "first")]
    assert cause(killed, tasks) == "first"
    assert cause(killed, [task_run("ingest_month", "RUNNING")]) == "killed"
    assert cause(flow_run("2024-01"), tasks) is None


# --- a backfill


class Server:
    """A server whose backfill goes through `looks`: the parent's state and its months' runs, one after the other."""

    def __init__(self, *looks: tuple[str, list[Json]]) -> None:
        self.looks: Iterator[tuple[str, list[Json]]] = iter(looks)
        self.runs: list[Json] = []
        self.asked: list[tuple[str, Json]] = []
        self.faults: dict[str, list[httpx.Response | httpx.HTTPError]] = {}
        # Task runs that run, or wait for their next attempt, in every run: not in the order of the steps.
        self.under_way = [task_run("ingest_month", "RUNNING", run_count=2), task_run("ingest_zones", "SCHEDULED")]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.path.removeprefix("/api"), json.loads(request.content or "{}")
        self.asked.append((path, body))
        if left := self.faults.get(path):
            fault = left.pop(0)
            if isinstance(fault, httpx.HTTPError):
                raise fault
            return fault
        if path == "/flow_runs/parent":
            state, self.runs = next(self.looks)
            answer: Any = {"state": {"type": state, "name": state.title(), "message": "why"}}
        elif path == "/task_runs/filter" and "task_runs" in body:
            answer = [task | {"flow_run_id": run} for run in body["flow_runs"]["id"]["any_"] for task in self.under_way]
        elif path == "/task_runs/filter":
            answer = [task_run(name, flow_run_id=body["flow_runs"]["id"]["any_"][-1]) for name in TASKS]
        else:
            answer = {"/flow_runs/filter": self.runs, "/artifacts/filter": []}.get(path, {"id": "parent"})
        return httpx.Response(200, json=answer)


@pytest.fixture
def backfill(monkeypatch: pytest.MonkeyPatch, progress: Progress) -> Callable[..., BackfillResult]:
    """Return the verb, which talks to a `Server`."""
    monkeypatch.setattr(waiting, "PAUSE_S", 0.0)
    monkeypatch.setattr(parent, "POLL_S", 0.0)

    def run(answers: Server, months: list[str], patience_s: float = 60.0) -> BackfillResult:
        monkeypatch.setattr(runner, "Prefect", lambda url: server(answers, patience_s))
        endpoint = {"home": "home", "ports": {"api": 1}}
        request = BackfillRequest(months, "folder", "schema", endpoint, jobs=3)
        return runner.backfill(request.to_json(), progress)

    return run


def test_a_backfill_runs_all_months_with_the_parameters_asked_for(backfill: Callable[..., Any], tmp_path: Path) -> None:
    months = ["2024-03", "2024-01"]
    waiting, running = flow_run("2024-03", "PENDING"), flow_run("2024-03", "RUNNING")
    done = [flow_run(month) for month in reversed(months)]
    answers = Server(("RUNNING", []), ("RUNNING", [waiting]), ("RUNNING", [running]), ("COMPLETED", done))
    result = backfill(answers, months)
    assert (result.status, [month.month for month in result.months]) == ("success", months)
    asked = dict(answers.asked)["/deployments/parent/create_flow_run"]["parameters"]
    parameters = {
        "source": "folder", "schema": "schema", "strategy": "swap", "force": False,
        "accept_suspect": False, "strict": False, "dataset": "green",
    }  # fmt: skip
    assert asked == {"months": months, "parameters": parameters, "which": "all", "concurrency": 3}
    reported = [json.loads(line) for line in (tmp_path / "progress").read_text().splitlines()]
    assert [(one["state"], one["task"], one["attempt"]) for one in reported if one["month"] == "2024-03"] == [
        ("waiting", "", 0), ("running", "ingest_month", 2), ("success", "", 0)
    ]  # fmt: skip


def test_a_killed_month_is_not_reported_before_its_next_run(backfill: Callable[..., Any]) -> None:
    killed = flow_run("2024-01", "CRASHED")
    answers = Server(("RUNNING", [killed]), ("RUNNING", [killed, flow_run("2024-01", "RUNNING")]))
    answers.looks = iter([*answers.looks, ("COMPLETED", [killed, flow_run("2024-01")])])
    assert backfill(answers, ["2024-01"]).status == "success"


def test_months_that_a_killed_backfill_did_not_reach_say_so(backfill: Callable[..., Any]) -> None:
    result = backfill(Server(("CRASHED", [flow_run("2024-01")])), ["2024-01", "2024-02"])
    assert [month.state for month in result.months] == ["success", "failed"]
    assert result.months[1].error == "not run: the backfill ended Crashed: why"


def test_a_backfill_that_is_cut_short_is_canceled(backfill: Callable[..., Any]) -> None:
    answers = Server(("RUNNING", []))
    # The server has no second look.
    with pytest.raises(StopIteration):
        backfill(answers, ["2024-01"])
    assert answers.asked[-1] == ("/flow_runs/parent/set_state", {"state": {"type": "CANCELLING"}})


# --- a backfill while the server or its database restarts


CREATE = "/deployments/parent/create_flow_run"


@pytest.mark.parametrize(
    "path", [CREATE, "/flow_runs/parent", "/flow_runs/filter", "/task_runs/filter", "/artifacts/filter"]
)
def test_a_restart_at_any_call_is_bridged(path: str, backfill: Callable[..., BackfillResult]) -> None:
    answers = Server(("RUNNING", []), ("COMPLETED", [flow_run("2024-01")]))
    answers.faults[path] = [
        httpx.ConnectError("refused"), httpx.ReadError("reset"), httpx.Response(500), httpx.Response(503)
    ]  # fmt: skip
    assert backfill(answers, ["2024-01"]).status == "success"
    assert answers.faults[path] == []
    keys = [body["idempotency_key"] for asked, body in answers.asked if asked == CREATE]
    assert len(set(keys)) == 1, "by its key the server finds the run that it created, and creates no other"


def test_each_backfill_has_a_key_of_its_own() -> None:
    answers = Server()
    for _ in range(2):
        server(answers).start("backfill", {})
    first, second = (body["idempotency_key"] for asked, body in answers.asked if asked == CREATE)
    assert first != second


def test_what_ended_before_the_server_died_is_reported_with_its_record(
    backfill: Callable[..., BackfillResult], tmp_path: Path
) -> None:
    answers = Server(("RUNNING", [flow_run("2024-01"), flow_run("2024-02", "RUNNING")]), ("RUNNING", []))
    answers.faults["/flow_runs/filter"] = []
    looked = answers.looks

    def looks() -> Iterator[tuple[str, list[Json]]]:
        yield next(looked)
        answers.faults["/flow_runs/filter"].append(httpx.Response(500, text="down"))
        yield next(looked)

    answers.looks = looks()
    with pytest.raises(TransientError, match="Prefect refused POST /flow_runs/filter: 500 down"):
        backfill(answers, ["2024-01", "2024-02"], patience_s=0)
    reported = [json.loads(line) for line in (tmp_path / "progress").read_text().splitlines()]
    assert [(one["month"], one["state"], one["record"] is not None) for one in reported] == [
        ("2024-01", "success", True), ("2024-02", "running", False),
    ]  # fmt: skip
    assert answers.asked[-1] == ("/flow_runs/parent/set_state", {"state": {"type": "CANCELLING"}})
