"""prefect.yaml: what it registers exists, agrees with the flows, and works on every machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # comes with Prefect, without types
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint

from prefect_impl import flows
from prefect_impl.lab import client

FILE = Path(flows.__file__).with_name("prefect.yaml")
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load(FILE.read_text())["deployments"]

each = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: str(one["entrypoint"]))


@each
def test_the_entrypoint_is_a_flow_that_takes_its_parameters(deployment: dict[str, Any]) -> None:
    flow: Flow[..., Any] = load_flow_from_entrypoint(deployment["entrypoint"])
    assert f"{flow.name}/{deployment['name']}" in client.DEPLOYMENTS
    month = {"month": "2024-01"} if flow.name == "taxi_pipeline" else {"months": ["2024-01"]}
    assert flow.validate_parameters(deployment["parameters"] | month)["parameters"].schema == "prefect"


@each
def test_it_runs_on_our_pool_in_one_process_from_the_root(deployment: dict[str, Any]) -> None:
    assert deployment["work_pool"]["name"] == client.POOL
    assert deployment["work_pool"]["job_variables"] == {"command": "python -m prefect.engine", "working_dir": "."}


def test_a_parent_never_waits_in_the_queue_of_its_months() -> None:
    assert [one["work_pool"]["work_queue_name"] for one in DEPLOYMENTS] == ["months", "backfills"]


def test_nothing_is_pulled_and_no_path_belongs_to_one_machine() -> None:
    assert yaml.safe_load(FILE.read_text())["pull"] == []
    assert not [line for line in FILE.read_text().splitlines() if " /" in line and not line.lstrip().startswith("#")]
