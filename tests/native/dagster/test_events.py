"""The condition of the guide's chain of events: it forgets no load, also not one that comes during the refresh."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import pytest

from tests.questions.events.dagster_defs import EACH

MONTH = "2024-01"

SHIPPED = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())

Look = Callable[..., int]


def looks(condition: dg.AutomationCondition[dg.AssetKey]) -> Look:
    """Return a function that reports materializations and lets the automation look: it returns how many it asks for."""
    months = dg.MonthlyPartitionsDefinition(start_date="2024-01", fmt="%Y-%m")

    @dg.asset(partitions_def=months)
    def trips() -> None: ...

    @dg.asset(partitions_def=months, deps=[trips], automation_condition=condition)
    def mart() -> None: ...

    defs, instance, cursor = dg.Definitions([trips, mart]), dg.DagsterInstance.ephemeral(), None

    def look(*materialized: str) -> int:
        nonlocal cursor
        for name in materialized:
            instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=MONTH))
        result = dg.evaluate_automation_conditions(defs, instance, dg.AssetSelection.assets("mart"), cursor=cursor)
        cursor = result.cursor
        return result.total_requested

    look()
    return look


def test_each_load_is_followed_by_one_refresh() -> None:
    look = looks(EACH)
    assert [look("trips"), look("mart"), look(), look("trips"), look(), look("mart"), look()] == [1, 0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize(("condition", "asked"), [(EACH, 1), (SHIPPED, 0)], ids=["ours", "as shipped"])
def test_a_load_before_the_end_of_the_refresh_is_not_forgotten(
    condition: dg.AutomationCondition[dg.AssetKey], asked: int
) -> None:
    """The second one is the reason for ours: when it fails, Dagster forgets no load any more, and the guard can go."""
    look = looks(condition)
    assert look("trips") == 1
    # The refresh that was asked for has read the month before this load.
    assert look("trips", "mart") == asked
    assert look("mart") == 0
