"""What a run does: jobs, metadata, checks, and which errors are tried again. In one process, without services."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from core.errors import BadFile, CheckFailed, SourceUnavailable
from core.pipeline import Job, Receipt
from core.transform import Result
from dagster_impl.defs.models import MODELS, checks, models
from dagster_impl.defs.raw import raw_trips, raw_zones
from dagster_impl.defs.resources import Parameters
from dagster_impl.steps import failures

MONTH = "2024-01"
INGESTED = Receipt("ingest_month", "success", MONTH, rows=3, bytes=99, source_sha256="ab12", digest="cd34")
Steps = Callable[..., list[Job]]


def run(*assets: Any, parameters: Parameters | None = None) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        assets, partition_key=MONTH, resources={"parameters": parameters or Parameters()}, raise_on_error=False
    )


def attempts(result: dg.ExecuteInProcessResult, step: str) -> int:
    kinds = ("STEP_START", "STEP_RESTARTED")
    return sum(event.step_key == step and event.event_type_value in kinds for event in result.all_events)


def message(result: dg.ExecuteInProcessResult, step: str) -> str:
    failure = next(event for event in result.get_step_failure_events() if event.step_key == step)
    told = failure.step_failure_data.user_failure_data
    assert told is not None
    return str(told.description)


def test_the_receipt_is_the_metadata_and_the_digest_the_data_version(steps: Steps) -> None:
    steps(ingest_month=INGESTED)
    (event,) = run(raw_trips).asset_materializations_for_node("raw_trips")
    found = {name: entry.value for name, entry in event.metadata.items()}
    assert found == INGESTED.to_json() | {"dagster/row_count": 3}
    assert event.tags is not None
    assert event.tags["dagster/data_version"] == "cd34"
    assert event.partition == MONTH


def test_the_job_is_what_the_run_config_says(steps: Steps) -> None:
    seen = steps()
    parameters = Parameters(source="/data", schema="trips", loader="me", strategy="delete-append", force=True)
    result = run(raw_zones, parameters=parameters)
    assert seen == [Job("/data", "trips", "me", "delete-append", True, result.run_id)]


def test_someone_who_materialises_by_hand_loads_the_publishers_file(steps: Steps) -> None:
    seen = steps()
    result = run(raw_zones)
    assert seen == [Job("tlc", "dagster", "dagster", "swap", False, result.run_id)]


def test_only_the_model_with_a_row_for_each_trip_counts_rows(steps: Steps) -> None:
    steps(transform=Receipt("transform", "success", MONTH, rows=7))
    events = run(models).asset_materializations_for_node("transform")
    assert {e.asset_key.to_user_string() for e in events} == {model.name for model in MODELS}
    assert {e.asset_key.to_user_string() for e in events if "rows" in e.metadata} == {"fct_trips"}


def test_a_failed_test_fails_the_check_of_its_model_and_the_run(steps: Steps) -> None:
    bad, *good = [test for model in MODELS for test in model.tests if test.kind == "data"]
    found = [Result(t.name, t.model, "data", t.severity, True, 0, "", {}) for t in good]
    broken = Result(bad.name, bad.model, "data", bad.severity, False, 2, "got 2 rows", {"2024-01-01": 2})
    steps(results=[broken, *found], check=CheckFailed(f"1 test failed: {bad.name}"))
    result = run(models, checks)
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert [(e.asset_key.to_user_string(), e.check_name) for e in failed] == [(bad.model, bad.name)]
    assert len(result.get_asset_check_evaluations()) == 1 + len(good)
    assert message(result, "check") == f"1 test failed: {bad.name}"
    assert not result.success


def test_a_transient_error_is_tried_again(steps: Steps) -> None:
    steps(ingest_month=[SourceUnavailable("503"), INGESTED])
    result = run(raw_trips)
    assert result.success
    assert attempts(result, "raw_trips") == 2


@pytest.mark.parametrize(
    ("error", "told"),
    [(BadFile("not parquet: fetch it again"), "not parquet: fetch it again"), (KeyError("fare"), "KeyError: 'fare'")],
)
def test_a_permanent_error_and_a_bug_are_not(steps: Steps, error: Exception, told: str) -> None:
    steps(ingest_month=error)
    result = run(raw_trips, models)
    assert attempts(result, "raw_trips") == 1
    assert message(result, "raw_trips") == told
    assert attempts(result, "transform") == 0


@pytest.mark.parametrize(
    ("error", "again"), [(SourceUnavailable("503"), True), (BadFile("html"), False), (KeyError("fare"), False)]
)
def test_the_error_says_whether_another_attempt_may_help(error: Exception, again: bool) -> None:
    with pytest.raises(dg.Failure) as raised, failures():
        raise error
    assert raised.value.allow_retries is again
    assert raised.value.__cause__ is error
