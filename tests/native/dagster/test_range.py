"""The job of a range: a month that fails holds back no other, and each month is recorded on the assets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from core.errors import BadFile, SourceUnavailable
from core.run import Receipt, Run
from dagster_impl import steps as shared
from dagster_impl.definitions import defs
from dagster_impl.lab.backfill import repository_of
from dagster_impl.lab.runs import range_config
from dagster_impl.lab.services import LOCATION

MONTHS = ("2024-01", "2024-02", "2024-03")
PARAMETERS = {"months": "2024-01..2024-03", "source": "sample", "schema": "s"}
Replace = Callable[..., list[Run]]


def loads(*ends: Any) -> list[Any]:
    """Return what the loads of the months return or raise, in their order."""
    return [end or Receipt("ingest_month", "success", month) for end, month in zip(ends, MONTHS, strict=True)]


def run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Run the range."""
    job = defs().get_job_def("taxi_range")
    return job.execute_in_process(range_config(PARAMETERS), instance=instance, raise_on_error=False)


def ended_well(result: dg.ExecuteInProcessResult) -> set[str]:
    """Return the steps that succeeded."""
    return {event.step_key for event in result.all_events if event.is_step_success and event.step_key}


def test_the_steps_are_mapped_over_the_months(steps: Replace) -> None:
    seen = steps(ingest_month=loads(None, None, None))
    with dg.instance_for_test() as instance:
        result = run(instance)
        partitions = instance.get_materialized_partitions(dg.AssetKey("raw_trips"))
    assert result.success
    keys = {f"{step}[{month.replace('-', '_')}]" for step in ("ingest_month", "transform", "check") for month in MONTHS}
    assert ended_well(result) == {"months", "ingest_zones", *keys}
    assert partitions == {*MONTHS}
    assert {each.schema for each in seen} == {"s"}


def test_a_bad_month_holds_back_only_its_own_steps(steps: Replace) -> None:
    steps(ingest_month=loads(None, BadFile("a web page"), None))
    with dg.instance_for_test() as instance:
        result = run(instance)
        partitions = instance.get_materialized_partitions(dg.AssetKey("raw_trips"))
    assert not result.success
    assert {"check[2024_01]", "check[2024_03]"} <= ended_well(result)
    assert partitions == {MONTHS[0], MONTHS[2]}
    assert not [key for key in ended_well(result) if "2024_02" in key]


def test_a_transient_error_costs_its_month_another_attempt(steps: Replace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "RETRY_DELAY_S", 0)
    good = loads(None, None, None)
    seen = steps(ingest_month=[SourceUnavailable("503"), *good])
    with dg.instance_for_test() as instance:
        result = run(instance)
    assert result.success
    # The zones, four attempts at three loads, and two steps more for each month
    assert len(seen) == 1 + 4 + 6


def test_its_job_is_in_our_own_code_location() -> None:
    unasked: Any = None
    assert repository_of(unasked, "taxi_range")["repositoryLocationName"] == LOCATION
