"""How single runs are read from the web server's answers."""

import json
from typing import Any

import httpx
import pytest
from dagster_graphql.schema.pipelines.status import GrapheneRunStatus

from core import waiting
from core.errors import TransientError, TriptychError, UsageError
from core.lab.protocol import Endpoint, ProcessesRequest, StartRequest
from dagster_impl.lab import queries, runs
from dagster_impl.lab.client import Client

Json = dict[str, Any]
NAMES = {document: name for name, document in vars(queries).items() if name.isupper()}


class Web:
    """A web server that answers each query with the next of these answers, and then with the last one again."""

    def __init__(self, **answers: list[Json | httpx.HTTPError]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Json]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        name = NAMES[sent["query"]]
        self.asked.append((name, sent["variables"]))
        answers = self.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, httpx.HTTPError):
            raise answer
        return httpx.Response(200, json={"data": {"x": answer}})

    def client(self, patience_s: float = 60) -> Client:
        return Client(Endpoint("home", {"web": 1}), httpx.MockTransport(self), patience_s)

    def count(self, name: str) -> int:
        return [asked for asked, _ in self.asked].count(name)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PAUSE_S", 0.0)


def run(status: str = "SUCCESS", tags: Json | None = None, **values: Any) -> Json:
    listed = [{"key": key, "value": value} for key, value in {"dagster/partition": "2024-01", **(tags or {})}.items()]
    return {
        "__typename": "Run", "id": "r1", "status": status, "jobName": "__ASSET_JOB", "creationTime": 10.0,
        "startTime": 11.0, "endTime": None, "tags": listed,
        "stepKeysToExecute": ["check", "raw_trips", "raw_zones", "transform"], "stepStats": [],
        "eventConnection": {"events": []},
    } | values  # fmt: skip


def step(key: str, status: str = "SUCCESS", attempts: int = 0, **metadata: Any) -> Json:
    entries = [{"label": label, "text": value} for label, value in metadata.items() if isinstance(value, str)]
    entries += [{"label": label, "intValue": value} for label, value in metadata.items() if isinstance(value, int)]
    return {
        "stepKey": key, "status": status, "startTime": 11.0, "endTime": 12.0, "attempts": [{}] * attempts,
        "materializations": [{"metadataEntries": entries}] if entries else [],
    }  # fmt: skip


def listed(*found: Json) -> Json:
    return {"__typename": "Runs", "results": list(found)}


def test_every_status_of_this_version_has_a_state() -> None:
    assert set(runs.STATES) == {status.value for status in GrapheneRunStatus}


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({}, "manual"),
        ({"dagster/backfill": "b"}, "backfill"),
        ({"dagster/schedule_name": "monthly"}, "scheduled"),
        ({"dagster/sensor_name": "on_ingest"}, "event"),
        ({"dagster/backfill": "b", "dagster/from_automation_condition": "true"}, "event"),
        ({"dagster/backfill": "b", "dagster/parent_run_id": "r0"}, "retry"),
    ],
)
def test_the_cause_of_a_run(tags: Json, said: str) -> None:
    assert runs.record(Web().client(), run(tags=tags)).cause == said


def test_runs_are_listed_by_the_name_of_the_pipeline() -> None:
    web = Web(RUNS=[listed(run(), run(jobName="nightly"))])
    records = runs.newest(web.client(), "taxi_pipeline", 5)
    assert web.asked == [("RUNS", {"filter": {"pipelineName": "__ASSET_JOB"}, "limit": 5})]
    assert [(each.pipeline, each.partition, each.state) for each in records] == [
        ("taxi_pipeline", "2024-01", "success"), ("nightly", "2024-01", "success"),
    ]  # fmt: skip
    assert records[0].url == "http://127.0.0.1:1/runs/r1"
    assert (records[0].created_at, records[0].ended_at) == ("1970-01-01T00:00:10+00:00", None)


def test_a_run_has_its_tasks_in_order_and_what_they_returned() -> None:
    trips = step("raw_trips", state="unchanged", digest="cd", **{"dagster/partition_row_count": 5, "dagster/x": "y"})
    steps = [step("transform", "IN_PROGRESS", attempts=1), trips, step("raw_zones", attempts=2, state="success")]
    record = runs.observed(Web(RUN=[run("STARTED", stepStats=steps)]).client(), "taxi_pipeline", "r1")
    assert [(task.task, task.state, task.attempts, task.rows) for task in record.tasks] == [
        ("ingest_zones", "success", 2, None), ("ingest_month", "unchanged", 1, 5), ("transform", "running", 2, None),
        ("check", "queued", 0, None),
    ]  # fmt: skip
    assert record.tasks[1].returned == {"task": "ingest_month", "state": "unchanged", "digest": "cd", "rows": 5}
    assert record.under_way == {"transform": 2}


def test_the_check_returns_the_results_of_the_checks() -> None:
    results = [{"success": False, "severity": "WARN", "description": "odd"}, {"success": True, "severity": "WARN"}]
    events = [{"__typename": "AssetCheckEvaluationEvent", "evaluation": result} for result in results]
    whole = run(stepStats=[step("check")], stepKeysToExecute=["check"], eventConnection={"events": events})
    (task,) = runs.observed(Web(RUN=[whole]).client(), "taxi_pipeline", "r1").tasks
    assert task.returned == {"task": "check", "state": "success", "detail": "1 of 2 checks passed", "warnings": ["odd"]}


@pytest.mark.parametrize(
    ("status", "states", "error"),
    [
        ("CANCELED", ["success", "canceled", "skipped", "skipped"], None),
        ("FAILURE", ["success", "failed", "upstream failed", "upstream failed"], "killed"),
        ("CANCELING", ["success", "running", "queued", "queued"], None),
    ],
)
def test_a_step_ends_with_its_run(status: str, states: list[str], error: str | None) -> None:
    events = [{"__typename": "RunFailureEvent", "message": "killed"}] * (error is not None)
    steps = [step("raw_zones"), step("raw_trips", "IN_PROGRESS")]
    record = runs.observed(
        Web(RUN=[run(status, stepStats=steps, eventConnection={"events": events})]).client(), "taxi_pipeline", "r1"
    )
    assert ([task.state for task in record.tasks], record.error) == (states, error)


LAUNCHED = {"__typename": "LaunchRunSuccess", "run": {"id": "r1"}}
MONTHS = {"__typename": "AssetNode", "partitionKeys": ["2024-01", "2024-02"]}


def test_a_run_is_launched_with_its_partition_and_parameters() -> None:
    web = Web(PARTITIONS=[MONTHS], RUNS=[listed()], LAUNCH_RUN=[LAUNCHED])
    assert runs.start(web.client(), StartRequest("taxi_pipeline", {"schema": "s"}, "2024-01")) == "r1"
    params = web.asked[-1][1]["params"]
    assert params["runConfigData"] == {"resources": {"parameters": {"config": {"schema": "s"}}}}
    assert {"key": "dagster/partition", "value": "2024-01"} in params["executionMetadata"]["tags"]


def test_a_run_whose_answer_was_lost_is_not_launched_twice() -> None:
    web = Web(PARTITIONS=[MONTHS], RUNS=[listed(), listed(run(id="r7"))], LAUNCH_RUN=[httpx.ReadError("lost")])
    assert runs.start(web.client(), StartRequest("taxi_pipeline", {}, "2024-01")) == "r7"
    assert web.count("LAUNCH_RUN") == 1


def test_wrong_run_config_is_a_clear_line() -> None:
    wrong = {"__typename": "RunConfigValidationInvalid", "errors": [{"message": "unexpected entry x"}]}
    ready = {"workspaceOrError": {"locationEntries": []}, "instance": {"daemonHealth": {"allDaemonStatuses": []}}}

    def respond(request: httpx.Request) -> httpx.Response:
        answers = {"PARTITIONS": {"x": MONTHS}, "LAUNCH_RUN": {"x": wrong}, "RUNS": {"x": listed()}, "READY": ready}
        return httpx.Response(200, json={"data": answers[NAMES[json.loads(request.content)["query"]]]})

    client = Client(Endpoint("home", {"web": 1}), httpx.MockTransport(respond))
    with pytest.raises(TriptychError, match="RunConfigValidationInvalid: unexpected entry x"):
        runs.start(client, StartRequest("taxi_pipeline", {"x": 1}, "2024-01"))


def test_a_month_that_is_no_partition_starts_nothing() -> None:
    web = Web(PARTITIONS=[MONTHS])
    with pytest.raises(UsageError, match=r"2030-01 is no partition: .* the last complete one, 2024-02"):
        runs.start(web.client(), StartRequest("taxi_pipeline", {}, "2030-01"))


def refused(status: str) -> Json:
    return {"__typename": "TerminateRunFailure", "message": f"it is {status}", "run": {"status": status}}


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([{"__typename": "TerminateRunSuccess"}], 1),
        ([refused("STARTING"), refused("STARTING"), {"__typename": "TerminateRunSuccess"}], 3),
        ([refused("CANCELING")], 1),
        ([refused("SUCCESS")], 1),
    ],
)
def test_a_run_is_canceled_once_it_has_started_unless_it_has_ended(answers: list[Any], asked: int) -> None:
    web = Web(TERMINATE=answers)
    runs.cancel(web.client(), "taxi_pipeline", "r1")
    assert web.count("TERMINATE") == asked


def test_a_run_that_never_starts_is_not_called_canceled() -> None:
    with pytest.raises(TransientError, match="can't cancel the run yet: it is STARTING"):
        runs.cancel(Web(TERMINATE=[refused("STARTING")]).client(patience_s=0), "taxi_pipeline", "r1")


def test_the_process_of_a_run_is_the_last_one_that_it_wrote_down() -> None:
    events = [{}, *({"metadataEntries": [{"label": "pid", "text": pid}]} for pid in ("7", "8"))]
    running = listed(run(eventConnection={"events": events}), run(id="r2", eventConnection={"events": [{}]}))
    found = runs.processes(Web(PROCESSES=[running]).client(), ProcessesRequest({"code-server": 1, "daemon": 2}))
    assert [(each.role, each.pid, each.run_id) for each in found] == [
        ("code server", 1, None), ("daemon", 2, None), ("run", 8, "r1"),
    ]  # fmt: skip
