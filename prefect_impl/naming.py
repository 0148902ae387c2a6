"""What Prefect's pages call a run: its name and its tags."""

from __future__ import annotations

from typing import Any

from prefect import Flow, State, get_client, runtime
from prefect.client.schemas.objects import FlowRun

from core.month import spans

MONTH_NAME = "{parameters.schema} {month}"
"""The name of a month's run, in the list of runs and on the page of its backfill."""

RANGE_NAME = "{parameters.schema} {months}"
"""The name of a run of a range of months."""


def backfill_name() -> str:
    """Return a name such as ``backfill 2024-01..2024-03 -> taxis``."""
    given = runtime.flow_run.parameters
    return f"backfill {spans(given['months'])} -> {given['parameters'].schema}"


def tag(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tag a run with its schema, and with its month if it has one: the list of runs can be filtered by tags."""
    given = flow_run.parameters
    tags = {*flow_run.tags, given["parameters"]["schema"], *filter(None, [given.get("month")])}
    # A backfill has tagged those that it started.
    if tags == set(flow_run.tags):
        return
    with get_client(sync_client=True) as client:
        client.update_flow_run(flow_run.id, tags=tags)
