"""Which months a backfill runs, from Prefect's own record of past runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from prefect import get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort

from core.run import RunParameters

Which = Literal["all", "missing", "failed"]

FAILED = (StateType.FAILED, StateType.CRASHED)
ENDED = (StateType.COMPLETED, *FAILED)
"""How a run can end; one that was canceled says nothing of its month."""

PAGE = 200
"""The most runs that the server returns at once."""


def select(months: Iterable[str], which: Which, past: Mapping[str, Sequence[StateType]]) -> list[str]:
    """Return those of `months` that are wanted, once each and in order; `past` has the ends of each month's runs."""
    return [month for month in dict.fromkeys(months) if wanted(which, past.get(month, []))]


def wanted(which: Which, ends: Sequence[StateType]) -> bool:
    """Return whether to run a month whose runs, newest first, have ended as `ends` says.

    ``all``: every month. ``missing``: no run of it has completed. ``failed``: it has a run, and the last one failed.
    """
    if which == "missing":
        return StateType.COMPLETED not in ends
    return which == "all" or (len(ends) > 0 and ends[0] in FAILED)


async def past_runs(flow: str, parameters: RunParameters) -> dict[str, list[StateType]]:
    """Return how the runs of `flow` with the source and schema of `parameters` ended, by month, newest first."""
    past: dict[str, list[StateType]] = {}
    async with get_client() as client:
        offset = 0
        while True:
            runs = await client.read_flow_runs(
                flow_filter=FlowFilter.model_validate({"name": {"any_": [flow]}}),
                flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ENDED}}}),
                sort=FlowRunSort.START_TIME_DESC,
                limit=PAGE,
                offset=offset,
            )
            for run in runs:
                ran = run.parameters["parameters"]
                if run.state_type and (ran["source"], ran["schema"]) == (parameters.source, parameters.schema):
                    past.setdefault(run.parameters["month"], []).append(run.state_type)
            if len(runs) < PAGE:
                return past
            offset += PAGE
