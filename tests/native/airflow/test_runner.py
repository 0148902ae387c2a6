"""The runner's parts that need no services: ranges, settings and secrets, and what it makes of the API's answers."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.api_fastapi.core_api.datamodels.dag_run import DAGRunPatchBody
from airflow.configuration import conf

from airflow_impl.lab import history, runner
from airflow_impl.lab.client import Airflow
from airflow_impl.lab.history import one_line
from airflow_impl.lab.services import SETTINGS, services
from core import waiting
from core.errors import PermanentError, TransientError
from core.lab.capabilities import CAPABILITIES
from core.lab.protocol import BackfillRequest, BackfillResult, Endpoint, MonthRecord, Progress, Services
from core.month import Month, parse_months
from core.run import TASKS

README = Path(runner.__file__).parent.parent / "README.md"
Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "progress")


@pytest.fixture
def up(tmp_path: Path) -> Services:
    return services(Endpoint(str(tmp_path / "home"), {"api": 18080}))


def airflow(answer: Answer, patience_s: float = 0) -> Airflow:
    """A client of an API server that is a function."""
    return Airflow("http://127.0.0.1:1", httpx.MockTransport(answer), patience_s)


def dag_run(month: str, **values: Any) -> dict[str, Any]:
    return {"dag_run_id": f"backfill__{month}", "partition_key": month, "state": "success", "conf": {"a": 1}} | values


# --- describe


def test_describe_names_known_capabilities(progress: Progress) -> None:
    description = runner.describe({}, progress)
    assert (description.name, description.version) == ("airflow", "3.3.2")
    assert set(description.capabilities) <= set(CAPABILITIES)


# --- services


def test_everything_listens_on_loopback(up: Services) -> None:
    assert up.env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert up.web == up.env["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:18080"
    assert [step.start[1] for step in up.steps if step.start] == ["api-server", "scheduler", "dag-processor"]


def test_secrets_are_made_once_and_for_the_owner_only(up: Services, tmp_path: Path) -> None:
    config = tmp_path / "home" / "airflow.cfg"
    first = config.read_text()
    services(Endpoint(str(tmp_path / "home"), {"api": 18081}))
    assert config.read_text() == first
    assert stat.S_IMODE(config.stat().st_mode) == 0o600


def test_no_secret_is_in_the_result(up: Services, tmp_path: Path) -> None:
    lines = (tmp_path / "home" / "airflow.cfg").read_text().splitlines()
    secrets = [value for _, equals, value in (line.partition(" = ") for line in lines) if equals]
    assert len(secrets) == 3
    assert not any(secret in json.dumps(up.to_json()) for secret in secrets)


@pytest.mark.parametrize("option", SETTINGS)
def test_every_setting_is_one_of_airflow_and_changes_its_default(option: str) -> None:
    section, key = option.lower().split("__")
    assert conf.configuration_description[section]["options"][key]["default"] != SETTINGS[option][0]


def test_the_readme_shows_every_setting_with_its_reason() -> None:
    rows = [f"| {option.replace('__', '.').lower()} | {value} | {why} |" for option, (value, why) in SETTINGS.items()]
    text = README.read_text()
    assert [row for row in rows if row not in text] == []


# --- which months make a backfill


@pytest.mark.parametrize(
    ("months", "first"),
    [
        ("2024-01", "2024-01"),
        ("2023-11..2024-02", "2023-11..2024-02"),
        ("2024-03,2024-02,2024-01", "2024-03,2024-02,2024-01"),
        ("2024-01,2024-03", "2024-01"),
        ("2024-03,2024-01,2024-02", "2024-03"),
        ("2024-01,2024-02,2024-01", "2024-01,2024-02"),
        ("2024-01,2024-02,2024-04", "2024-01,2024-02"),
    ],
)
def test_a_stretch_is_contiguous_and_keeps_the_order(months: str, first: str) -> None:
    assert tuple(runner.first_stretch(parse_months(months))) == parse_months(first)


def test_a_month_that_has_not_begun_fails_by_itself(progress: Progress) -> None:
    assert runner.begun(Month(2024, 1))
    assert not runner.begun(Month(9999, 1))
    assert runner.too_early(Month(9999, 1)).state == "failed"


# --- the API


def test_a_range_backwards_is_one_backfill() -> None:
    sent: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"dag_runs": [], "backfills": []})
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={"id": 7})

    assert airflow(answer).start_backfill(parse_months("2024-03,2024-02"), 4, {"a": 1}) == {"id": 7}
    assert (sent[0]["from_date"], sent[0]["to_date"]) == ("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z")
    assert sent[0]["run_backwards"] is True
    assert (sent[0]["max_active_runs"], sent[0]["dag_run_conf"]) == (4, {"a": 1})
    assert sent[0]["reprocess_behavior"] == "completed"


def test_a_second_backfill_of_the_dag_waits() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        nothing = {"dag_runs": [], "backfills": []}
        return httpx.Response(409) if request.method == "POST" else httpx.Response(200, json=nothing)

    assert airflow(answer).start_backfill([Month(2024, 1)], 1, {}) is None


def test_a_month_that_is_being_run_waits() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.method == "GET"
        assert request.url.params.get_list("state") == ["queued", "running"]
        return httpx.Response(200, json={"dag_runs": [dag_run("2024-01", state="running")]})

    assert airflow(answer).start_backfill([Month(2024, 1)], 1, {}) is None


def test_the_runs_of_a_backfill_are_the_newest_with_its_conf() -> None:
    runs = [
        dag_run("2024-01", dag_run_id="of another", conf={"a": 2}),
        dag_run("2024-01", dag_run_id="newest"),
        dag_run("2024-01", dag_run_id="older"),
    ]
    client = airflow(lambda _: httpx.Response(200, json={"dag_runs": runs}))
    found = client.runs_of({"created_at": "2026-01-01T00:00:00Z", "dag_run_conf": {"a": 1}}, [Month(2024, 1)])
    assert {str(month): one["dag_run_id"] for month, one in found.items()} == {"2024-01": "newest"}


def api_of_one_run(states: dict[str, str], log: list[dict[str, Any]]) -> Answer:
    """An API server that knows the four tasks of one run."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        task = next((task for task in TASKS if f"/{task}/" in path), "")
        if path.endswith("/taskInstances"):
            one = {"try_number": 1, "start_date": "2026-01-01T00:00:00Z", "end_date": "2026-01-01T00:00:01Z"}
            instances = [one | {"task_id": task, "state": state} for task, state in states.items()]
            return httpx.Response(200, json={"task_instances": instances})
        if "/xcomEntries/" in path:
            state = "unchanged" if task == "ingest_month" else "success"
            return httpx.Response(200, json={"value": {"task": task, "state": state, "rows": 5}})
        return httpx.Response(200, json={"content": log})

    return answer


def test_the_record_of_a_month_that_was_loaded_before() -> None:
    record = history.record(airflow(api_of_one_run(dict.fromkeys(TASKS, "success"), [])), dag_run("2024-01"))
    assert (record.state, record.rows, record.attempts, record.error) == ("unchanged", 5, 1, None)
    assert [task.state for task in record.tasks] == ["success", "unchanged", "success", "success"]


def test_warnings_are_the_note_of_the_run() -> None:
    sent: list[tuple[str, str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append((request.method, request.url.path, json.loads(request.content)))
        return httpx.Response(200, json={})

    client, one = airflow(answer), dag_run("2024-01")
    client.note(one, MonthRecord("2024-01", "success"))
    assert sent == []
    client.note(one, MonthRecord("2024-01", "success", warnings=["odd", "w" * 2000]))
    ((method, path, body),) = sent
    assert (method, path) == ("PATCH", "/api/v2/dags/taxi_pipeline/dagRuns/backfill__2024-01")
    assert body["note"].startswith("success, 2 warnings\n\nodd\n\nwww")
    assert DAGRunPatchBody.model_validate(body).note == body["note"], "no longer than the API takes"


def failed_with(log: list[dict[str, Any]]) -> Any:
    states = dict(zip(TASKS, ("success", "failed", "upstream_failed", "upstream_failed"), strict=True))
    return history.record(airflow(api_of_one_run(states, log)), dag_run("2024-01", state="failed"))


def test_the_record_of_a_month_that_failed_has_the_message() -> None:
    detail = [{"exc_type": "NotPublished", "exc_value": "2024-01 is not published yet"}]
    record = failed_with([{"event": "::group::"}, {"event": "Task failed", "level": "error", "error_detail": detail}])
    assert (record.state, record.error) == ("failed", "2024-01 is not published yet")
    assert [task.state for task in record.tasks] == ["success", "failed", "skipped", "skipped"]


def test_the_record_of_a_month_whose_process_was_killed_says_so() -> None:
    log = [{"event": "Process terminated by signal.", "level": "critical"}, {"event": "::endgroup::"}]
    assert failed_with(log).error == "Process terminated by signal."


@pytest.mark.parametrize(
    ("exception", "message", "line"),
    [
        ("BadFile", "not parquet:\n  a.parquet", "not parquet: a.parquet"),
        ("KeyError", "'rows'", "KeyError: 'rows'"),
    ],
)
def test_an_error_is_one_line(exception: str, message: str, line: str) -> None:
    assert one_line(exception, message) == line


def test_a_server_that_does_not_answer_is_transient() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(TransientError, match=r"http://127\.0\.0\.1:1/api/v2/ does not answer: refused"):
        airflow(answer).get("/version")


@pytest.mark.parametrize(("status", "error"), [(422, PermanentError), (500, TransientError)])
def test_a_refusal_is_told(status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{status} why"):
        airflow(lambda _: httpx.Response(status, text="why")).get("/version")


def test_a_dag_that_cannot_be_imported_is_told() -> None:
    parts = {part: {"status": "healthy"} for part in ("metadatabase", "scheduler", "dag_processor")}
    broken = {"import_errors": [{"stack_trace": "Traceback\n  x\nImportError: no module named core\n"}]}
    with pytest.raises(PermanentError, match="can't import the DAG: ImportError: no module named core"):
        airflow(lambda r: httpx.Response(200, json=parts if "health" in r.url.path else broken)).ready()


# --- a backfill while the API server or its database restarts


LOST = httpx.ReadError("the connection was reset")
REFUSED = httpx.ConnectError("refused")


class Api:
    """An API server that makes backfills of `runs`. `faults` take the place of the first answers to a call.

    A refused connection is not heard; every other call is.
    """

    def __init__(self, *runs: dict[str, Any], **faults: list[httpx.Response | httpx.HTTPError]) -> None:
        self.runs, self.faults = runs, faults
        self.backfills: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.tasks = api_of_one_run(dict.fromkeys(TASKS, "success"), [])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        call = f"{request.method}_{request.url.path.rpartition('/')[2]}"
        self.asked.append(call)
        fault = self.faults[call].pop(0) if self.faults.get(call) else None
        if fault is REFUSED:
            raise REFUSED
        answer = self.tasks(request) if "taskInstances" in request.url.path else self.answer(call, request)
        if isinstance(fault, httpx.HTTPError):
            raise fault
        return fault or answer

    def answer(self, call: str, request: httpx.Request) -> httpx.Response:
        if call == "POST_backfills":
            conf = json.loads(request.content)["dag_run_conf"]
            made = {"id": len(self.backfills) + 1, "created_at": "2026-01-01T00:00:00Z", "dag_run_conf": conf}
            self.backfills.insert(0, made)
            return httpx.Response(200, json=made)
        runs = [run | {"conf": self.backfills[0]["dag_run_conf"]} for run in self.runs] if self.backfills else []
        return httpx.Response(200, json={"backfills": self.backfills, "dag_runs": runs})


@pytest.fixture
def backfill(monkeypatch: pytest.MonkeyPatch, progress: Progress) -> Callable[..., BackfillResult]:
    """The verb, against an `Api`."""
    monkeypatch.setattr(waiting, "PAUSE_S", 0.0)
    monkeypatch.setattr(runner, "POLL_S", 0.0)

    def run(api: Api, months: list[str], patience_s: float = 60) -> BackfillResult:
        monkeypatch.setattr(runner, "Airflow", lambda _: airflow(api, patience_s))
        endpoint = {"home": "home", "ports": {"api": 1}}
        return runner.backfill(BackfillRequest(months, "folder", "schema", endpoint).to_json(), progress)

    return run


@pytest.mark.parametrize(
    "call", ["GET_dagRuns", "GET_backfills", "POST_backfills", "GET_taskInstances", "GET_return_value", "PUT_cancel"]
)
def test_a_restart_at_any_call_is_bridged(call: str, backfill: Callable[..., BackfillResult]) -> None:
    faults: list[httpx.Response | httpx.HTTPError] = [REFUSED, REFUSED, LOST]
    if call != "POST_backfills":
        faults += [httpx.Response(500), httpx.Response(503)]
    api = Api(dag_run("2024-01", start_date="x"), **{call: faults})
    result = backfill(api, ["2024-01"])
    assert (result.status, result.months[0].attempts, result.months[0].rows) == ("success", 1, 5)
    assert api.faults[call] == []
    assert len(api.backfills) == 1, "what a lost answer made is found, and not made twice"


def test_what_ended_before_the_api_died_is_told_with_its_record(
    backfill: Callable[..., BackfillResult], tmp_path: Path
) -> None:
    api = Api(dag_run("2024-01", start_date="x"), dag_run("2024-02", start_date="x", state="running"))
    alive = api.answer

    def dies(call: str, request: httpx.Request) -> httpx.Response:
        seen = api.asked.count("GET_dagRuns") > 3 and call == "GET_dagRuns"
        return httpx.Response(500, text="down") if seen else alive(call, request)

    api.answer = dies  # type: ignore[method-assign]
    with pytest.raises(TransientError, match="Airflow refused GET /dags/taxi_pipeline/dagRuns: 500 down"):
        backfill(api, ["2024-01", "2024-02"], patience_s=0)
    told = [json.loads(line) for line in (tmp_path / "progress").read_text().splitlines()]
    assert sorted((one["month"], one["state"], one["record"] is not None) for one in told) == [
        ("2024-01", "unchanged", True),
        ("2024-02", "running", False),
    ]
    assert api.asked[-1] == "PUT_cancel", "Airflow must not go on alone"
