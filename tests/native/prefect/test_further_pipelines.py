"""How the deployments of further pipelines are registered, and what the runner says of them."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from core.errors import UsageError
from core.lab.protocol import Endpoint, further
from prefect_impl.lab import further_pipelines, services
from prefect_impl.lab.client import Prefect
from tests.questions.trigger_rules.prefect_flows import trigger_rules

MODULE = "tests.questions.trigger_rules.prefect_flows"


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name a package of further pipelines."""
    monkeypatch.setenv(further.VARIABLE, "tests.questions")


def test_a_deployment_runs_on_our_pool_in_a_queue_without_a_limit() -> None:
    deployment = trigger_rules.to_deployment("triptych", tags=["kept"], job_variables={"env": {"KEPT": "1"}})
    placed = further_pipelines.placed(MODULE, deployment)
    assert placed.entrypoint == f"{MODULE}.trigger_rules"
    assert (placed.work_pool_name, placed.work_queue_name, placed.tags) == ("triptych", "further", ["kept"])
    command = {"command": services.WARM_COMMAND, "working_dir": "."}
    assert placed.job_variables == command | {"env": {"KEPT": "1"}}


def test_a_deployment_may_name_the_queue_of_the_months_for_its_limit() -> None:
    deployment = trigger_rules.to_deployment("triptych", work_queue_name="months")
    assert further_pipelines.placed(MODULE, deployment).work_queue_name == "months"


def test_a_module_that_cannot_be_imported_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(further, "modules", lambda _: ["no_such.module"])
    assert further_pipelines.main() == 1
    assert capsys.readouterr().err == (
        "no_such.module can't be loaded: ModuleNotFoundError: No module named 'no_such'\n"
    )


def test_a_module_without_deployments_is_named() -> None:
    with pytest.raises(UsageError, match=r"json can't be loaded: AttributeError: module 'json' has no .*'deployments'"):
        further_pipelines.declared("json")


@pytest.mark.usefixtures("questions")
def test_each_pipeline_has_a_deployment_of_its_name() -> None:
    modules = further.modules("prefect_flows")
    names = {each.full_name for module in modules for each in further_pipelines.declared(module)}
    assert MODULE in modules
    further_pipelines.check_names(names)
    with pytest.raises(UsageError, match=r"no deployment trigger_rules/triptych: .*@flow\(name=\"trigger_rules\"\)\?"):
        further_pipelines.check_names(names - {"trigger_rules/triptych"})


def registers(tmp_path: Path) -> bool:
    """Return whether bringing the services up registers further pipelines."""
    steps = services.services(Endpoint(str(tmp_path), {"api": 14200})).steps
    return any(step.name == "further" for step in steps)


def test_each_pipeline_of_a_conformance_case_has_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(further.VARIABLE, "tests.conformance")
    modules = further.modules("prefect_flows")
    further_pipelines.check_names({each.full_name for module in modules for each in further_pipelines.declared(module)})


def test_further_pipelines_are_registered_where_there_are_any(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(further.VARIABLE, "")
    assert not registers(tmp_path)
    monkeypatch.setenv(further.VARIABLE, "tests.questions")
    assert registers(tmp_path)


@pytest.mark.parametrize(("existing", "said"), [(3, False), (4, True)])
def test_it_is_ready_when_their_deployments_exist(existing: int, said: bool) -> None:
    asked: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return httpx.Response(200, json=[{}] * (existing if "deployments" in request.url.path else 1))

    assert Prefect("http://127.0.0.1:1", httpx.MockTransport(answer), 0).ready(["trigger_rules"]) is said
    wanted = {"name": {"any_": ["backfill", "taxi_pipeline", "taxi_range", "trigger_rules"]}}
    assert wanted in [one.get("flows") for one in asked]  # type: ignore[attr-defined]
