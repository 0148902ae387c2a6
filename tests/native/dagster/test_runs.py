"""How single runs are read from the web server's answers."""

import json
import math
from pathlib import Path
from typing import Any

import httpx
import pytest
from dagster_graphql.schema.pipelines.status import GrapheneRunStatus

from core import waiting
from core.errors import TransientError, TriptychError, UsageError
from core.lab.protocol import BALANCER, Endpoint, ProcessesRequest, Progress, StartRequest, further
from dagster_impl.lab import queries, runner, runs, services
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


KEYS = ["check", "month_report.checked", "month_report.report", "raw_trips", "raw_zones", "transform"]


def run(status: str = "SUCCESS", tags: Json | None = None, **values: Any) -> Json:
    listed = [{"key": key, "value": value} for key, value in {"dagster/partition": "2024-01", **(tags or {})}.items()]
    return {
        "__typename": "Run", "id": "r1", "status": status, "jobName": "__ASSET_JOB", "creationTime": 10.0,
        "startTime": 11.0, "endTime": None, "tags": listed, "repositoryOrigin": {"repositoryLocationName": "triptych"},
        "assetSelection": None, "stepKeysToExecute": KEYS,
        "executionPlan": None, "stepStats": [], "eventConnection": logged(),
    } | values  # fmt: skip


def logged(*events: Json, after: str | None = None) -> Json:
    """Return a page of a run's events; `after` is the cursor of the next one, if there is one."""
    return {"events": list(events), "cursor": after, "hasMore": after is not None}


def step(key: str, status: str = "SUCCESS", attempts: int = 0, **metadata: Any) -> Json:
    entries = [{"label": label, "text": value} for label, value in metadata.items() if isinstance(value, str)]
    entries += [{"label": label, "intRepr": str(value)} for label, value in metadata.items() if isinstance(value, int)]
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
    others = run(repositoryOrigin={"repositoryLocationName": "further"})
    web = Web(RUNS=[listed(run(id="r0", jobName="taxi_pipeline", creationTime=5.0)), listed(run(), others)])
    records = runs.newest(web.client(), "taxi_pipeline", 5)
    assert web.asked == [
        ("RUNS", {"filter": {"pipelineName": name}, "limit": 100, "cursor": None})
        for name in ("taxi_pipeline", "__ASSET_JOB")
    ]
    assert [(each.pipeline, each.partition, each.state) for each in records] == [
        ("taxi_pipeline", "2024-01", "success")
    ] * 2
    assert records[0].url == "http://127.0.0.1:1/runs/r1"
    assert (records[0].created_at, records[0].ended_at) == ("1970-01-01T00:00:10+00:00", None)


def test_only_a_run_that_is_observed_says_when_its_process_was_started() -> None:
    whole = run(stats={"launchTime": 10.5})
    assert (
        runs.observed(Web(RUN=[whole]).client(), "taxi_pipeline", "r1").launched_at
        == "1970-01-01T00:00:10.500000+00:00"
    )
    assert runs.record(Web().client(), run()).launched_at is None


def test_a_run_has_its_tasks_in_order_and_what_they_returned() -> None:
    trips = step("raw_trips", state="unchanged", digest="cd", **{"dagster/partition_row_count": 5, "dagster/x": "y"})
    steps = [step("transform", "IN_PROGRESS", attempts=1), trips, step("raw_zones", attempts=2, state="success")]
    record = runs.observed(Web(RUN=[run("STARTED", stepStats=steps)]).client(), "taxi_pipeline", "r1")
    assert [(task.task, task.state, task.attempts, task.rows) for task in record.tasks] == [
        ("ingest_zones", "success", 2, None), ("ingest_month", "unchanged", 1, 5), ("transform", "running", 2, None),
        ("check", "queued", 0, None), ("report", "queued", 0, None),
    ]  # fmt: skip
    assert record.tasks[1].returned == {"task": "ingest_month", "state": "unchanged", "digest": "cd", "rows": 5}
    assert record.under_way == {"transform": 2}


def test_the_check_returns_the_results_of_the_checks() -> None:
    results = [{"success": False, "severity": "WARN", "description": "odd"}, {"success": True, "severity": "WARN"}]
    events = [{"__typename": "AssetCheckEvaluationEvent", "evaluation": result} for result in results]
    whole = run(stepStats=[step("check")], stepKeysToExecute=["check"], eventConnection=logged(*events))
    (task,) = runs.observed(Web(RUN=[whole]).client(), "taxi_pipeline", "r1").tasks
    assert task.returned == {"task": "check", "state": "success", "detail": "1 of 2 checks passed", "warnings": ["odd"]}


@pytest.mark.parametrize(
    ("status", "states", "error"),
    [
        ("CANCELED", ["success", "canceled", "skipped", "skipped", "skipped"], None),
        ("FAILURE", ["success", "failed", "upstream failed", "upstream failed", "upstream failed"], "killed"),
        ("CANCELING", ["success", "running", "queued", "queued", "queued"], None),
    ],
)
def test_a_step_ends_with_its_run(status: str, states: list[str], error: str | None) -> None:
    events = [{"__typename": "RunFailureEvent", "message": "killed"}] * (error is not None)
    steps = [step("raw_zones"), step("raw_trips", "IN_PROGRESS")]
    record = runs.observed(
        Web(RUN=[run(status, stepStats=steps, eventConnection=logged(*events))]).client(), "taxi_pipeline", "r1"
    )
    assert ([task.state for task in record.tasks], record.error) == (states, error)


LAUNCHED = {"__typename": "LaunchRunSuccess", "run": {"id": "r1"}}
MONTHS = {"__typename": "Pipeline", "partitionKeysOrError": {"partitionKeys": ["2024-01", "2024-02"]}}


def test_a_run_is_launched_with_its_partition_and_parameters() -> None:
    web = Web(JOB_PARTITIONS=[MONTHS], RUNS=[listed()], LAUNCH_RUN=[LAUNCHED])
    assert runs.start(web.client(), StartRequest("taxi_pipeline", {"schema": "s"}, "2024-01")) == "r1"
    params = web.asked[-1][1]["params"]
    assert params["runConfigData"] == {"resources": {"parameters": {"config": {"schema": "s"}}}}
    assert {"key": "dagster/partition", "value": "2024-01"} in params["executionMetadata"]["tags"]


def test_a_run_whose_answer_was_lost_is_not_launched_twice() -> None:
    web = Web(JOB_PARTITIONS=[MONTHS], RUNS=[listed(), listed(run(id="r7"))], LAUNCH_RUN=[httpx.ReadError("lost")])
    assert runs.start(web.client(), StartRequest("taxi_pipeline", {}, "2024-01")) == "r7"
    assert web.count("LAUNCH_RUN") == 1


def test_wrong_run_config_is_a_clear_line() -> None:
    wrong = {"__typename": "RunConfigValidationInvalid", "errors": [{"message": "unexpected entry x"}]}
    ready = {"workspaceOrError": {"locationEntries": []}, "instance": {"daemonHealth": {"allDaemonStatuses": []}}}

    def respond(request: httpx.Request) -> httpx.Response:
        answers = {"JOB_PARTITIONS": {"x": MONTHS}, "LAUNCH_RUN": {"x": wrong}, "RUNS": {"x": listed()}, "READY": ready}
        return httpx.Response(200, json={"data": answers[NAMES[json.loads(request.content)["query"]]]})

    client = Client(Endpoint("home", {"web": 1}), httpx.MockTransport(respond))
    with pytest.raises(TriptychError, match="RunConfigValidationInvalid: unexpected entry x"):
        runs.start(client, StartRequest("taxi_pipeline", {"x": 1}, "2024-01"))


def test_a_month_that_is_no_partition_starts_nothing() -> None:
    web = Web(JOB_PARTITIONS=[MONTHS])
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


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Further pipelines of two tasks, `first` and `mapped`, with and without a month: return their package."""
    name = f"further_{tmp_path.name}"
    subject = tmp_path / name / "subject"
    subject.mkdir(parents=True)
    (subject / "pipelines.py").write_text(
        "from core.lab.protocol import Pipeline\n"
        "PIPELINES = [Pipeline(name, ['first', 'mapped', 'last'], 'first', 'optional') for name in ('job', 'other')]\n"
    )
    (subject / f"{services.MODULE}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(further.VARIABLE, name)
    return name


HERE = {"repositoryLocationName": services.FURTHER}


def of_job(status: str = "SUCCESS", **values: Any) -> Json:
    """Return a run of a further pipeline's job."""
    return run(status, **{"jobName": "job", "repositoryOrigin": HERE, "stepKeysToExecute": None, **values})


def repositories() -> Json:
    """Return the code locations: the job is in the second one, and another one of its name in the first."""
    nodes = [
        {"name": "__repository__", "location": {"name": services.LOCATION}, "pipelines": [{"name": "job"}]},
        {"name": "other", "location": {"name": services.FURTHER}, "pipelines": [{"name": "nightly"}]},
        {"name": "subject", "location": {"name": services.FURTHER}, "pipelines": [{"name": "job"}]},
    ]
    return {"__typename": "RepositoryConnection", "nodes": nodes}


def output(step: str, **metadata: Any) -> Json:
    entries = [{"label": label, **value} for label, value in metadata.items()]
    return {"__typename": "ExecutionStepOutputEvent", "stepKey": step, "metadataEntries": entries}


def test_further_pipelines_are_described_and_have_a_code_server_of_their_own(questions: str, tmp_path: Path) -> None:
    described = runner.describe({}, Progress(tmp_path / "progress"))
    assert [each.name for each in described.pipelines] == ["taxi_pipeline", "taxi_range", "job", "other"]
    assert described.ports == ["code", "further", "web"]
    started = services.services(Endpoint(str(tmp_path), {"code": 1, "further": 2, "web": 3}))
    assert [step.name for step in started.steps if step.start] == [
        "code-server", "further-code-server", "daemon", "webserver",
    ]  # fmt: skip
    assert {BALANCER, *(step.name for step in started.steps if step.start)} == runs.ROLES.keys()
    servers = json.loads((tmp_path / "workspace.yaml").read_text())["load_from"]
    assert [(each["grpc_server"]["location_name"], each["grpc_server"]["port"]) for each in servers] == [
        (services.LOCATION, 1), (services.FURTHER, 2),
    ]  # fmt: skip


def test_without_further_pipelines_there_is_no_further_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(further.VARIABLE, raising=False)
    assert runner.describe({}, Progress(tmp_path / "progress")).ports == ["code", "web"]
    started = services.services(Endpoint(str(tmp_path), {"code": 1, "web": 3}))
    assert [step.name for step in started.steps if step.start] == ["code-server", "daemon", "webserver"]


@pytest.mark.parametrize(
    ("partitions", "month", "config"),
    [
        ([], None, {"n": 1}),
        ([], "2024-01", {"n": 1}),
        (["2024-01"], "2024-01", {"resources": {"parameters": {"config": {"n": 1}}}}),
    ],
)
def test_a_further_pipeline_is_launched_by_the_name_of_its_job(partitions: Json, month: str, config: Json) -> None:
    job = {"__typename": "Pipeline", "partitionKeysOrError": {"partitionKeys": partitions}}
    web = Web(REPOSITORIES=[repositories()], JOB_PARTITIONS=[job], RUNS=[listed()], LAUNCH_RUN=[LAUNCHED])
    assert runs.start(web.client(), StartRequest("job", {"n": 1}, month)) == "r1"
    selector = web.asked[1][1]["selector"]
    assert (selector["repositoryLocationName"], selector["pipelineName"]) == (services.FURTHER, "job")
    params = web.asked[-1][1]["params"]
    assert params["selector"] == {
        "repositoryLocationName": services.FURTHER, "repositoryName": "subject", "jobName": "job",
    }  # fmt: skip
    assert params["runConfigData"] == config
    assert ({"key": "dagster/partition", "value": month} in params["executionMetadata"]["tags"]) == (month is not None)


def test_a_further_pipeline_refuses_a_month_that_is_no_partition() -> None:
    job = {"__typename": "Pipeline", "partitionKeysOrError": {"partitionKeys": ["2024-01"]}}
    with pytest.raises(UsageError, match="2024-02 is no partition"):
        web = Web(REPOSITORIES=[repositories()], JOB_PARTITIONS=[job])
        runs.start(web.client(), StartRequest("job", {}, "2024-02"))


def test_a_job_that_is_nowhere_is_a_clear_line() -> None:
    with pytest.raises(UsageError, match="Dagster has no job 'jobs'"):
        runs.start(Web(REPOSITORIES=[repositories()]).client(), StartRequest("jobs", {}))


def test_runs_of_a_further_pipelines_assets_are_its_runs(questions: str) -> None:
    assets = [{"path": ["first"]}, {"path": ["last"]}]
    of_assets = run(id="r2", creationTime=20.0, repositoryOrigin=HERE, assetSelection=assets)
    unknown = run(id="r3", repositoryOrigin=HERE, assetSelection=[{"path": ["elsewhere"]}])
    web = Web(RUNS=[listed(of_job()), listed(run(), of_assets, unknown)])
    assert [(each.run_id, each.pipeline) for each in runs.newest(web.client(), "job", 5)] == [
        ("r2", "job"),
        ("r1", "job"),
    ]
    assert runs.pipeline_of(unknown) == runs.ASSET_JOB


def test_runs_are_read_a_page_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PAGE", 2)
    web = Web(RUNS=[listed(run(id="r4"), run(id="r3")), listed(run(id="r2"))])
    assert [each.run_id for each in runs.newest(web.client(), None, 5)] == ["r4", "r3", "r2"]
    assert [asked["cursor"] for _, asked in web.asked] == [None, "r3"]
    assert len(runs.newest(web.client(), None, 1)) == 1


def test_the_steps_of_a_dynamic_output_stand_where_their_task_does(questions: str) -> None:
    plan = {"steps": [{"key": key} for key in ("another", "first", "last", "mapped[?]")]}
    steps = [step("first"), step("mapped[a]"), step("mapped[b]", "FAILURE")]
    record = runs.observed(Web(RUN=[of_job("FAILURE", executionPlan=plan, stepStats=steps)]).client(), "job", "r1")
    assert [(task.task, task.state) for task in record.tasks] == [
        ("first", "success"), ("mapped[a]", "success"), ("mapped[b]", "failed"), ("last", "upstream failed"),
        ("another", "upstream failed"),
    ]  # fmt: skip


def test_a_dynamic_output_without_an_element_leaves_one_step_that_did_not_run(questions: str) -> None:
    plan = {"steps": [{"key": key} for key in ("first", "mapped[?]")]}
    record = runs.observed(Web(RUN=[of_job(executionPlan=plan, stepStats=[step("first")])]).client(), "job", "r1")
    assert [(task.task, task.state) for task in record.tasks] == [("first", "success"), ("mapped[?]", "skipped")]


def test_a_step_is_skipped_inside_a_run_that_failed_elsewhere() -> None:
    steps = [step("first", "FAILURE", attempts=2), step("last", "SKIPPED", attempts=1)]
    whole = of_job("FAILURE", stepKeysToExecute=["first", "last", "mapped"], stepStats=steps)
    record = runs.observed(Web(RUN=[whole]).client(), "job", "r1")
    assert [(task.task, task.state, task.attempts) for task in record.tasks] == [
        ("first", "failed", 2), ("last", "skipped", 0), ("mapped", "upstream failed", 0),
    ]  # fmt: skip


def test_a_step_that_cannot_run_ended_when_dagster_said_so() -> None:
    said = [{"__typename": "LogMessageEvent", "stepKey": key, "timestamp": "12500"} for key in ("last", None)]
    whole = of_job("FAILURE", stepKeysToExecute=["last", "mapped"], eventConnection=logged(*said))
    record = runs.observed(Web(RUN=[whole]).client(), "job", "r1")
    assert [(task.state, task.started_at, task.ended_at) for task in record.tasks] == [
        ("upstream failed", None, "1970-01-01T00:00:12.500000+00:00"), ("upstream failed", None, None),
    ]  # fmt: skip


def test_an_op_returns_the_metadata_of_its_outputs_from_every_page_of_events() -> None:
    values = {
        "text": {"text": "a"}, "big": {"intRepr": str(2**40)}, "ratio": {"floatRepr": "-inf"},
        "on": {"boolValue": True}, "all": {"jsonString": '{"x": [1]}'}, "file": {"path": "/x"},
        "none": {}, "rows": {"intRepr": "3"},
    }  # fmt: skip
    first = of_job(stepKeysToExecute=["first", "last"], stepStats=[step("first"), step("last")])
    pages = [
        {**first, "eventConnection": logged(output("first", **values), after="c1")},
        {**first, "eventConnection": logged(output("last"), output("first", late={"text": "b"}))},
    ]
    web = Web(RUN=pages)
    one, other = runs.observed(web.client(), "job", "r1").tasks
    assert one.returned == {
        "text": "a", "big": 2**40, "ratio": -math.inf, "on": True, "all": {"x": [1]}, "file": "/x", "none": None,
        "rows": 3, "late": "b",
    }  # fmt: skip
    assert (one.rows, other.returned) == (3, None)
    assert web.asked[1] == ("RUN", {"id": "r1", "cursor": "c1"})


def test_a_further_step_keeps_its_name_and_what_it_materialized() -> None:
    whole = of_job(stepKeysToExecute=["raw_trips"], stepStats=[step("raw_trips", rows=4)])
    (task,) = runs.observed(Web(RUN=[whole]).client(), "job", "r1").tasks
    assert (task.task, task.returned, task.rows) == ("raw_trips", {"rows": 4}, 4)


@pytest.mark.parametrize("around", [[], ["Exceeded max_retries of 1\n"]])
def test_the_error_of_a_run_is_what_its_step_raised(around: list[str]) -> None:
    wrapped = "dagster._core.errors.DagsterExecutionStepExecutionError: Error occurred while executing op"
    message, *causes = [*around, wrapped, "ValueError: told to\n", "OSError: deep inside\n"]
    error = {"message": message, "causes": [{"message": cause} for cause in causes]}
    event = {"__typename": "ExecutionStepFailureEvent", "failureMetadata": None, "error": error}
    record = runs.observed(
        Web(RUN=[of_job("FAILURE", stepKeysToExecute=[], eventConnection=logged(event))]).client(), "job", "r1"
    )
    assert record.error == "ValueError: told to"


def test_a_run_that_is_gone_is_a_clear_line() -> None:
    web = Web(RUN=[{"__typename": "RunNotFoundError", "message": "Run r9 could not be found."}])
    with pytest.raises(UsageError, match="dagster has no run 'r9': `triptych runs --on dagster` lists them"):
        runs.observed(web.client(), "taxi_pipeline", "r9")
