"""The runner without services: its files, its queries, and how it reads Dagster's answers."""

import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import httpx
import pytest
from dagster._core.instance.config import dagster_instance_config
from dagster._core.storage.tags import TagType, get_tag_type
from dagster._grpc import server
from dagster_graphql.schema import create_schema
from graphql import parse, validate

from core import waiting
from core.errors import RETRIES, PermanentError, TransientError, TriptychError
from core.lab.protocol import (
    ONE_THREAD,
    BackfillRequest,
    BackfillResult,
    Endpoint,
    Pipeline,
    Progress,
    RunRecord,
    TaskRecord,
    Which,
    further,
)
from core.settings import settings
from dagster_impl.lab import backfill, client, code_server, daemon, history, queries, runner, services
from dagster_impl.lab import runs as single
from dagster_impl.lab.daemon import wait_for_code_servers
from dagster_impl.lab.run_queue import QuickRunCoordinator

QUERIES = {name: document for name, document in vars(queries).items() if name.isupper()}


@pytest.mark.parametrize("name", QUERIES)
def test_each_query_fits_the_schema_of_this_version(name: str) -> None:
    schema = create_schema().graphql_schema
    assert validate(schema, parse(QUERIES[name])) == []


def test_dagster_accepts_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_DAGSTER_STORAGE", "postgresql+psycopg2://u:p@127.0.0.1:1/d")
    services.write_files(tmp_path, {"code": 1, "web": 2})
    config, _ = dagster_instance_config(str(tmp_path))
    assert config["run_retries"] == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}


def test_the_longest_honest_run_is_not_ended() -> None:
    """That is three downloads which each take their time, and then the waits for a lock, the load and the build."""
    limit = services.dagster_yaml()["run_monitoring"]
    assert isinstance(limit, dict)
    assert limit["max_runtime_seconds"] >= (1 + RETRIES) * (settings().download_s + settings().lock_wait_s)


def test_services_hold_no_secret_and_listen_on_the_loopback(tmp_path: Path) -> None:
    started = services.services(Endpoint(str(tmp_path), {"code": 4001, "web": 4002}))
    assert started.env["TRIPTYCH_DAGSTER_STORAGE"] == "postgresql+psycopg2://${METADATA}"
    workspace = json.loads((tmp_path / "workspace.yaml").read_text())
    assert workspace["load_from"] == [{"grpc_server": {"host": "127.0.0.1", "port": 4001, "location_name": "triptych"}}]
    for step in started.steps:
        if step.start and {"-p", "--port"} & {*step.start}:
            assert step.start[step.start.index("-h") + 1] == "127.0.0.1"


def test_two_daemons_and_two_web_servers_behind_a_balancer(tmp_path: Path) -> None:
    ports = {"code": 1, "web": 2, "webserver-1": 3, "webserver-2": 4}
    started = services.services(Endpoint(str(tmp_path), ports, scale={"daemon": 2, "webserver": 2}))
    names = [step.name for step in started.steps if step.start]
    assert names == ["code-server", "daemon-1", "daemon-2", "webserver-1", "webserver-2", "balancer"]
    assert started.web == "http://127.0.0.1:2"


def test_the_tables_of_a_new_database_are_made_before_any_service_starts(tmp_path: Path) -> None:
    first, *others = services.services(Endpoint(str(tmp_path), {"code": 4001, "further": 4003, "web": 4002})).steps
    assert (first.run, first.once) == (["dagster", "instance", "migrate"], True)
    assert [step.name for step in others if step.run] == []


@pytest.mark.parametrize(
    ("left", "command", "note"),
    [
        ("dagster.backfill_loop", ["dagster-daemon", "run"], "backfill daemon loop 30 s (stock)"),
        ("", ["-m", "dagster_impl.lab.daemon", "1", "run"], "backfill daemon loop 1 s instead of the stock 30 s"),
    ],
)
def test_the_daemon_is_stock_or_labelled(
    left: str, command: list[str], note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", left)
    assert " ".join(command) in " ".join(services.daemon_command(Path("w.yaml")))
    assert services.daemon_note() == note


def test_the_daemon_waits_for_every_code_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {1: [None, None, True], 2: [True]}
    monkeypatch.setattr(daemon, "accepts", lambda _, port: answers[port].pop(0))
    wait_for_code_servers(services.write_files(tmp_path, {"code": 1, "further": 2, "web": 3}))
    assert answers == {1: [], 2: []}


def test_the_daemon_starts_without_a_code_server_that_does_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "PATIENCE_S", 0.0)
    monkeypatch.setattr(daemon, "accepts", lambda *_: None)
    wait_for_code_servers(services.write_files(tmp_path, {"code": 1, "web": 3}))


def test_a_port_accepts_connections_while_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert daemon.accepts("127.0.0.1", port)
    assert not daemon.accepts("127.0.0.1", port)


def test_the_run_queue_is_as_it_is_shipped_or_tuned_setting_by_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert queue_of(tmp_path, monkeypatch, "") == (QuickRunCoordinator, 0.5, True)
    assert queue_of(tmp_path, monkeypatch, "dagster.dequeue_use_threads") == (QuickRunCoordinator, 0.5, False)
    assert queue_of(tmp_path, monkeypatch, "dagster.dequeue_interval_seconds") == (dg.QueuedRunCoordinator, 5, True)
    assert queue_of(tmp_path, monkeypatch, "all") == (dg.QueuedRunCoordinator, 5, False)


def test_the_guards_can_stay_as_they_are_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    guards = {"run_monitoring", "run_launcher", "run_retries"}
    of_queue = "max_user_code_failure_retries"
    assert {f"dagster.{name}" for name in (*guards, of_queue)} == {each.name for each in services.GUARDS}
    assert guards <= services.dagster_yaml().keys()
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", "guards")
    assert guards.isdisjoint(services.dagster_yaml())


@pytest.mark.parametrize("left", ["", "all"])
def test_a_run_whose_code_server_does_not_answer_is_launched_later(
    left: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = run_queue(tmp_path, monkeypatch, left).get_run_queue_config()
    # A daemon may take 60 s to find a code server that was not there when it started.
    assert queue.max_user_code_failure_retries * queue.user_code_failure_retry_delay > 60
    shipped = run_queue(tmp_path, monkeypatch, f"guards,{left}".rstrip(",")).get_run_queue_config()
    assert shipped.max_user_code_failure_retries == 0


def queue_of(home: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> tuple[type, float, bool]:
    """Return the kind of the run queue, its interval, and whether it launches runs in threads."""
    queue = run_queue(home, monkeypatch, left)
    return type(queue), queue.dequeue_interval_seconds, queue.dequeue_use_threads


def run_queue(home: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> dg.QueuedRunCoordinator:
    """Return the run queue of an instance whose settings were written with `left` as shipped."""
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", left)
    stock = services.dagster_yaml
    monkeypatch.setattr(services, "dagster_yaml", lambda: stock() | {"storage": {"sqlite": {"base_dir": str(home)}}})
    services.write_files(home, {"code": 1, "web": 2})
    monkeypatch.setattr(services, "dagster_yaml", stock)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        queue = instance.run_coordinator
        assert isinstance(queue, dg.QueuedRunCoordinator)
        # They hold with either queue.
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        assert (limits.max_concurrent_runs, len(limits.tag_concurrency_limits)) == (16, 16)
        return queue


@pytest.mark.parametrize(
    ("left", "program"),
    [("", "-m dagster_impl.lab.code_server api grpc"), ("dagster.run_start_method", "dagster api grpc")],
)
def test_runs_are_forked_or_spawned(left: str, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_AS_SHIPPED", left)
    step = services.code_server("triptych", 4001)
    assert step.start is not None
    assert program in " ".join(step.start)


def test_the_code_server_has_the_start_method_that_dagster_uses_for_runs() -> None:
    """It is a private attribute: a version of Dagster without it would spawn runs, and no other test would notice."""
    assert "self._mp_ctx.Process(" in inspect.getsource(server.DagsterApiServer.StartRun)
    made = code_server.ForkingServer.__new__(code_server.ForkingServer)
    made.fork_runs()
    assert made._mp_ctx.get_start_method() == "forkserver"


def test_the_code_server_looks_after_a_run_again_whose_end_could_not_be_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The thread that does so would end with the first error of the database, and with it the care for all runs."""
    made = code_server.ForkingServer.__new__(code_server.ForkingServer)
    made._execution_lock, made._server_termination_event = threading.Lock(), threading.Event()
    ended: Any = SimpleNamespace(is_alive=lambda: False, exitcode=1)
    made._executions, made._termination_times = {"lost": (ended, {})}, {}  # type: ignore[dict-item]
    made._termination_events = {"lost": threading.Event()}  # type: ignore[dict-item]
    # The thread ends once there is no run.
    made._shutdown_once_executions_finish_event = threading.Event()
    made._shutdown_once_executions_finish_event.set()
    asked = []

    def from_ref(_: object) -> Any:
        asked.append("lost")
        if len(asked) == 1:
            raise OSError("No space left on device")
        return nullcontext(SimpleNamespace(get_run_by_id=lambda run: None))

    monkeypatch.setattr(server.DagsterInstance, "from_ref", from_ref)
    monkeypatch.setattr(server, "CLEANUP_TICK", 0.01)
    made._cleanup_thread()
    assert (asked, made._executions) == (["lost", "lost"], {})


def test_what_is_preloaded_leaves_one_thread_and_is_all_of_ours_that_a_run_imports() -> None:
    code = f"""
import gc, importlib, os, sys
importlib.import_module({code_server.PRELOADED!r})
print(len(os.listdir("/proc/self/task")), gc.get_freeze_count() > 10_000)
known = set(sys.modules)
from core import datasets, extract, load, pipeline
import dagster_impl.defs.models, dagster_impl.defs.raw, dagster_impl.defs.report
ours = ("core", "dagster_impl", "pyarrow", "psycopg", "psycopg2", "numpy")
print(sorted(each for each in set(sys.modules) - known if each.split(".")[0] in ours))
"""
    env = {**os.environ, **ONE_THREAD}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert ran.stdout.splitlines()[-2:] == ["1 True", "[]"]


def test_the_patched_loop_is_the_one_that_the_daemon_reads() -> None:
    code = "import runpy, sys; from dagster._daemon import controller; sys.argv = ['daemon', '2', '--help']\n"
    code += "try: runpy.run_module('dagster_impl.lab.daemon', run_name='__main__')\n"
    code += "except SystemExit: print(controller.DEFAULT_DAEMON_INTERVAL_SECONDS)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "2.0"


def test_describe_does_not_import_dagster() -> None:
    code = "import sys; from dagster_impl.lab.runner import describe"
    code += "; print(describe({}, None).version, 'dagster' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1.13.27", "False"]


def step(key: str, status: str = "SUCCESS", start: float = 10.0, attempts: int = 0, **metadata: Any) -> dict[str, Any]:
    entries = [
        {"label": name, "intRepr": str(value)} if isinstance(value, int) else {"label": name, "text": value}
        for name, value in metadata.items()
    ]
    return {
        "stepKey": key,
        "status": status,
        "startTime": start,
        "endTime": None if status == "IN_PROGRESS" else start + 1,
        "attempts": [{"startTime": start}] * attempts,
        "materializations": [{"metadataEntries": entries}],
    }


def run(status: str, *steps: dict[str, Any], events: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"status": status, "stepStats": list(steps), "eventConnection": {"events": events or []}}


ROWS = {"dagster/partition_row_count": 3}
TAIL = (
    step("transform", start=12, state="unchanged"),
    step("check", start=14),
    step("month_report.checked", start=15),
    step("month_report.report", start=16),
)


def test_a_month_is_what_its_steps_recorded() -> None:
    ingest = step("raw_trips", attempts=2, state="success", source_sha256="ab", digest="cd", **ROWS)
    record = history.record("2024-01", [run("SUCCESS", step("raw_zones", state="unchanged"), ingest, *TAIL)])
    assert (record.state, record.attempts, record.rows, record.digest, record.error) == ("success", 2, 3, "cd", None)
    assert [task.state for task in record.tasks] == ["unchanged", "success", "unchanged", "success", "success"]
    assert record.started_at == "1970-01-01T00:00:10+00:00"


def test_a_month_with_nothing_pending_has_skipped_steps_and_did_not_fail() -> None:
    branch = step("transform") | {"materializations": []}
    ingest = step("raw_trips", state="unchanged", **ROWS)
    skipped = [step(key, "SKIPPED") for key in ("check", "month_report.checked")]
    steps = (step("raw_zones", state="unchanged"), ingest, branch, *skipped, step("month_report.report"))
    record = history.record("2024-01", [run("SUCCESS", *steps)])
    assert (record.state, record.error) == ("unchanged", None)
    assert [task.state for task in record.tasks] == ["unchanged", "unchanged", "skipped", "skipped", "success"]


def test_the_attempts_of_a_killed_run_count() -> None:
    killed = run("FAILURE", step("raw_zones"), step("raw_trips", "IN_PROGRESS"))
    retry = run("SUCCESS", step("raw_trips", start=11, state="success", **ROWS), *TAIL)
    record = history.record("2024-01", [killed, retry])
    assert (record.state, record.attempts, record.error) == ("success", 2, None)


def test_a_killed_run_without_a_retry_has_the_error_that_dagster_reports() -> None:
    events = [{"__typename": "RunFailureEvent", "message": "Run worker exited unexpectedly\n"}]
    record = history.record("2024-01", [run("FAILURE", step("raw_trips", "IN_PROGRESS"), events=events)])
    assert (record.state, record.error) == ("failed", "Run worker exited unexpectedly")
    assert [task.state for task in record.tasks] == ["upstream failed", "failed", *["upstream failed"] * 3]


def test_the_error_is_the_line_of_the_step_that_failed() -> None:
    failure = {"__typename": "ExecutionStepFailureEvent", "failureMetadata": {"description": "not parquet"}}
    late = {"__typename": "RunFailureEvent", "message": "Steps failed: ['raw_trips']"}
    record = history.record("2024-01", [run("FAILURE", step("raw_trips", "FAILURE"), events=[failure, late])])
    assert record.error == "not parquet"
    assert json.loads(json.dumps(record.to_json()))["state"] == "failed"


def evaluation(severity: str, success: bool, description: str | None) -> dict[str, Any]:
    details = {"severity": severity, "success": success, "description": description}
    return {"__typename": "AssetCheckEvaluationEvent", "evaluation": details}


def test_the_warnings_of_the_receipts_and_of_the_checks_are_reported() -> None:
    events = [evaluation("WARN", True, None), evaluation("WARN", False, "odd"), evaluation("ERROR", True, None)]
    ingest = step("raw_trips", state="success", **ROWS)
    ingest["materializations"][0]["metadataEntries"].append({"label": "warnings", "jsonString": '["late"]'})
    record = history.record("2024-01", [run("SUCCESS", step("raw_zones"), ingest, *TAIL, events=events)])
    assert (record.warnings, record.summary) == (["late", "odd"], "success, 2 warnings")


def test_the_runs_of_a_month_are_sorted_by_their_creation() -> None:
    runs = [listed_run("b", "2024-01", "STARTED", created=2), listed_run("a", "2024-01", "FAILURE", created=1)]
    assert [run["id"] for run in history.by_month(runs)["2024-01"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "tags", "lost"),
    [
        ("FAILURE", {"dagster/will_retry": "true"}, True),
        ("FAILURE", {"dagster/will_retry": "true", "dagster/auto_retry_run_id": "2"}, False),
        ("FAILURE", {"dagster/will_retry": "false"}, False),
        ("FAILURE", {}, False),
        ("STARTED", {}, False),
    ],
)
def test_a_retry_that_was_announced_and_not_made_is_lost(status: str, tags: dict[str, str], lost: bool) -> None:
    listed = [{"key": key, "value": value} for key, value in tags.items()]
    assert history.is_lost({"status": status, "tags": listed}) is lost


Fault = httpx.Response | httpx.HTTPError | dict[str, Any] | None
NAMES = {document: name for name, document in QUERIES.items()}

REFUSED = httpx.ConnectError("refused")
LOST = httpx.ReadError("the connection was reset")
STALE = "(psycopg2.OperationalError) server closed the connection unexpectedly"
DOWN: list[Fault] = [
    REFUSED,
    LOST,
    httpx.Response(500, text="Internal Server Error"),
    {"data": None, "errors": [{"message": STALE, "path": ["x"]}]},
    {"data": {"x": {"__typename": "PythonError", "message": f"sqlalchemy.exc.OperationalError: {STALE}"}}},
    {
        "data": {
            "x": {
                "__typename": "PythonError",
                "message": "DagsterPostgresException: too many retries for DB connection",
            }
        }
    },
]
"""Answers of a web server that restarts, or whose database restarts."""


class Web:
    """A web server that launches backfills, whose months' runs go through `looks`. `faults` replace its first answers
    to a query.

    A refused connection never reaches it; every other call has its effect.
    """

    def __init__(self, *looks: tuple[str, dict[str, str]], **faults: list[Fault]) -> None:
        self.looks, self.faults = list(looks), faults
        self.backfills: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.retried: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        call = NAMES[sent["query"]]
        self.asked.append(call)
        fault = self.faults[call].pop(0) if self.faults.get(call) else None
        if fault is REFUSED:
            raise REFUSED
        answer = getattr(self, f"on_{call.lower()}")(**sent["variables"])
        if isinstance(fault, httpx.HTTPError):
            raise fault
        if isinstance(fault, httpx.Response):
            return fault
        return httpx.Response(200, json=fault or {"data": answer if call == "READY" else {"x": answer}})

    def on_ready(self) -> dict[str, Any]:
        entry = None if self.faults.get("READY") else {"__typename": "RepositoryLocation"}
        health = {"daemonHealth": {"allDaemonStatuses": []}}
        return {"instance": health, "workspaceOrError": {"locationEntries": [{"locationOrLoadError": entry}]}}

    def on_partitions(self, **_: Any) -> dict[str, Any]:
        return {"__typename": "AssetNode", "partitionKeys": ["2024-01", "2024-02"]}

    def on_launch(self, params: dict[str, Any]) -> dict[str, Any]:
        self.backfills.insert(0, {"id": f"b{len(self.backfills)}", "tags": params["tags"], "params": params})
        return {"__typename": "LaunchBackfillSuccess", "backfillId": self.backfills[0]["id"]}

    def on_backfills(self, tag: dict[str, Any]) -> dict[str, Any]:
        return {"__typename": "RunsFeedConnection", "results": [one for one in self.backfills if tag in one["tags"]]}

    def on_progress(self, **_: Any) -> dict[str, Any]:
        status, runs = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        listed = [listed_run(f"{month} {state}", month, state) for month, state in runs.items()]
        listed += [listed_run(f"{run} and then SUCCESS", run.split()[0], "SUCCESS", created=2) for run in self.retried]
        return {"__typename": "PartitionBackfill", "status": status, "error": None, "runs": listed}

    def on_run(self, id: str) -> dict[str, Any]:
        ingest = step("raw_trips", state="success", **ROWS)
        return {"__typename": "Run", **run("", step("raw_zones", state="unchanged"), ingest, *TAIL)} | {
            "status": id.split()[-1]
        }

    def on_steps(self, ids: list[str]) -> dict[str, Any]:
        steps = [
            {"stepKey": "raw_trips", "status": "IN_PROGRESS", "attempts": [{"startTime": 1.0}]},
            {"stepKey": "raw_zones", "status": "SUCCESS", "attempts": [{"startTime": 1.0}]},
        ]
        return {"__typename": "Runs", "results": [{"id": each, "stepStats": steps} for each in ids]}

    def on_retry(self, params: dict[str, Any]) -> dict[str, Any]:
        self.retried.append(params["parentRunId"])
        return {"__typename": "LaunchRunSuccess"}

    def on_cancel(self, **_: Any) -> dict[str, Any]:
        return {"__typename": "CancelBackfillSuccess"}


def listed_run(id: str, month: str, status: str, created: float = 1) -> dict[str, Any]:
    tags = {"dagster/partition": month, "dagster/will_retry": "true"}
    tagged = [{"key": key, "value": value} for key, value in tags.items()]
    return {"id": id, "status": status, "creationTime": created, "tags": tagged}


@pytest.fixture
def run_backfill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., BackfillResult]:
    """Return the verb, against a `Web`."""
    monkeypatch.setattr(waiting, "PAUSE_S", 0.0)
    monkeypatch.setattr(backfill, "POLL_S", 0.0)

    def verb(web: Web, months: list[str], patience_s: float = 60) -> BackfillResult:
        web_server = client.Client(Endpoint("home", {"web": 1}), httpx.MockTransport(web), patience_s)
        monkeypatch.setattr(runner, "Client", lambda _: web_server)
        request = BackfillRequest(months, "folder", "schema", {"home": "home", "ports": {"web": 1}})
        return runner.backfill(request.to_json(), Progress(tmp_path / "progress"))

    return verb


ENDED = ("COMPLETED_SUCCESS", {"2024-01": "SUCCESS"})


@pytest.mark.parametrize("call", ["PARTITIONS", "LAUNCH", "BACKFILLS", "PROGRESS", "STEPS", "RUN"])
def test_a_restart_during_any_call_is_survived(call: str, run_backfill: Callable[..., BackfillResult]) -> None:
    faults = [REFUSED, REFUSED, *DOWN] if call != "LAUNCH" else [REFUSED, REFUSED, LOST]
    web = Web(("REQUESTED", {"2024-01": "STARTED"}), ENDED, **{call: list(faults)})
    result = run_backfill(web, ["2024-01"])
    assert (result.status, result.months[0].attempts, result.months[0].rows) == ("success", 1, 3)
    assert web.faults[call] == []
    assert len(web.backfills) == 1, "a backfill whose answer was lost is not launched twice"


@pytest.mark.parametrize("fault", [REFUSED, LOST, DOWN[-1]])
def test_a_retry_whose_answer_was_lost_is_not_made_twice(
    fault: Fault, run_backfill: Callable[..., BackfillResult]
) -> None:
    web = Web(("COMPLETED_FAILED", {"2024-01": "FAILURE"}), RETRY=[fault])
    assert run_backfill(web, ["2024-01"]).status == "success"
    assert web.retried == ["2024-01 FAILURE"]


def test_a_month_that_ended_before_the_web_server_died_is_reported_with_its_record(
    run_backfill: Callable[..., BackfillResult], tmp_path: Path
) -> None:
    web = Web(
        ("REQUESTED", {"2024-01": "SUCCESS", "2024-02": "STARTED"}),
        PROGRESS=[None, None, httpx.Response(500, text="down")],
    )
    with pytest.raises(TransientError, match="answered 500: down"):
        run_backfill(web, ["2024-01", "2024-02"], patience_s=0)
    reported = [json.loads(line) for line in (tmp_path / "progress").read_text().splitlines()]
    assert [(one["month"], one["state"], one["record"] is not None) for one in reported] == [
        ("2024-01", "success", True), ("2024-02", "running", False),
    ]  # fmt: skip
    assert (reported[1]["task"], reported[1]["attempt"]) == ("ingest_month", 2), "a step's attempt that ended is listed"
    assert web.asked[-1] == "CANCEL", "Dagster must not go on without us"


NO_ASSET: Fault = {"data": {"x": {"__typename": "AssetNotFoundError", "message": "no raw_trips"}}}


def test_a_web_server_that_does_not_reach_the_code_server_yet_is_asked_again(
    run_backfill: Callable[..., BackfillResult],
) -> None:
    web = Web(ENDED, PARTITIONS=[NO_ASSET, NO_ASSET], READY=[None, None, None])
    assert run_backfill(web, ["2024-01"]).status == "success"


def test_a_missing_asset_is_reported_at_once(run_backfill: Callable[..., BackfillResult]) -> None:
    web = Web(ENDED, PARTITIONS=[NO_ASSET])
    with pytest.raises(TriptychError, match="Dagster answered AssetNotFoundError: no raw_trips"):
        run_backfill(web, ["2024-01"])
    assert web.asked == ["PARTITIONS", "READY"]


def test_a_refused_query_is_not_sent_again() -> None:
    answers = iter([{"errors": [{"message": "Cannot query field 'x'"}]}])
    web_server = client.Client(
        Endpoint("", {"web": 1}), httpx.MockTransport(lambda _: httpx.Response(400, json=next(answers)))
    )
    with pytest.raises(TriptychError, match="Dagster refused a query: Cannot query field"):
        web_server.query("{ x }")


@pytest.mark.parametrize("response", [{"json": {"detail": "Not Found"}}, {"text": "<html>"}], ids=["json", "html"])
def test_a_server_that_is_not_dagsters_is_named(response: dict[str, Any]) -> None:
    """An endpoint that somebody wrote down may be that of another program."""
    answers = httpx.MockTransport(lambda _: httpx.Response(404, **response))
    with pytest.raises(PermanentError, match=r"http://host:3000/graphql is not Dagster's: it answered 404"):
        client.Client(Endpoint("", {}, "http://host:3000"), answers).query("{ x }")


def test_a_page_shows_the_schema_of_a_backfill_and_no_tag_that_only_the_lab_reads(
    run_backfill: Callable[..., BackfillResult],
) -> None:
    web = Web(ENDED)
    run_backfill(web, ["2024-01"])
    shown = [tag for tag in web.backfills[0]["tags"] if get_tag_type(tag["key"]) is not TagType.HIDDEN]
    assert shown == [{"key": "schema", "value": "schema"}]


@pytest.mark.parametrize(("which", "from_failure"), [("all", False), ("missing", False), ("failed", True)])
def test_months_that_failed_begin_at_the_step_that_failed(which: Which, from_failure: bool) -> None:
    web = Web(ENDED)
    web_server = client.Client(Endpoint("home", {"web": 1}), httpx.MockTransport(web))
    backfill.launch(web_server, BackfillRequest(["2024-01"], "folder", "schema", which=which), ["2024-01"])
    assert web.backfills[0]["params"]["fromFailure"] is from_failure


def test_a_month_is_judged_by_the_steps_of_its_last_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run from failure has none of the steps before the one that failed."""
    monkeypatch.setattr(further, "pipelines", lambda _: [Pipeline("monthly", ["fetch", "load"], "load")])
    ran = RunRecord("dagster", "monthly", "second", "success", "retry", tasks=[TaskRecord("load", "success", 1)])
    monkeypatch.setattr(single, "observed", lambda *_: ran)
    web_server = client.Client(Endpoint("home", {"web": 1}), httpx.MockTransport(Web(ENDED)))
    month = runner.reader(web_server, "monthly")("2024-01", [{"id": "first"}, {"id": "second"}])
    assert (month.month, month.state, [task.task for task in month.tasks]) == ("2024-01", "success", ["load"])
