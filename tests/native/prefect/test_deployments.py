"""prefect.yaml: what it registers exists, agrees with the flows, and works on every machine."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # comes with Prefect, without types
from prefect import Flow
from prefect.deployments.steps.core import run_steps
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.templating import apply_values

from core.run import RunParameters
from core.settings import default_source
from prefect_impl import flows
from prefect_impl.lab import client

FILE = Path(flows.__file__).with_name("prefect.yaml")
CONTENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
DEPLOYMENTS: list[dict[str, Any]] = CONTENT["deployments"]

each = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: str(one["entrypoint"]))


def parameters(deployment: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that `prefect deploy` registers: the build steps fill them in."""
    outputs = asyncio.run(run_steps(deepcopy(CONTENT["build"]), print_function=lambda *_: None))
    filled: dict[str, Any] = apply_values(deepcopy(deployment["parameters"]), outputs)
    return filled


@each
@pytest.mark.usefixtures("server")
def test_the_entrypoint_is_a_flow_that_takes_its_parameters(deployment: dict[str, Any]) -> None:
    flow: Flow[..., Any] = load_flow_from_entrypoint(deployment["entrypoint"])
    assert f"{flow.name}/{deployment['name']}" in client.DEPLOYMENTS
    months: dict[str, Any] = {
        "taxi_pipeline": {"month": "2024-01"}, "backfill": {"months": ["2024-01"]}, "taxi_range": {"months": "2024-01"},
    }  # fmt: skip
    given = flow.validate_parameters(parameters(deployment) | months[flow.name])["parameters"]
    assert given == RunParameters("sample", "prefect")


@each
@pytest.mark.usefixtures("server")
def test_its_source_is_the_default_of_the_command_line(
    deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIPTYCH_SOURCE", "s3://bucket/folder")
    assert parameters(deployment)["parameters"]["source"] == default_source() == "s3://bucket/folder"


@each
def test_it_runs_on_our_pool_in_one_process_from_the_root(deployment: dict[str, Any]) -> None:
    assert deployment["work_pool"]["name"] == client.POOL
    assert deployment["work_pool"]["job_variables"] == {"command": "python -m prefect.engine", "working_dir": "."}


def test_a_parent_never_waits_in_the_queue_of_its_months() -> None:
    assert [one["work_pool"]["work_queue_name"] for one in DEPLOYMENTS] == ["months", "backfills", "months"]


def test_nothing_is_pulled_and_no_path_belongs_to_one_machine() -> None:
    assert CONTENT["pull"] == []
    assert not [line for line in FILE.read_text().splitlines() if " /" in line and not line.lstrip().startswith("#")]
