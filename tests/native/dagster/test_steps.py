"""What a run does: jobs, metadata, checks, and which errors are tried again. In one process, without services."""

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from core import pipeline
from core.errors import BadFile, CheckFailed, SourceUnavailable
from core.run import Receipt, Run
from core.transform import Result
from dagster_impl.defs.models import MODELS, checks, models
from dagster_impl.defs.raw import raw_trips, raw_zones
from dagster_impl.defs.resources import Parameters
from dagster_impl.lab.services import dagster_yaml
from dagster_impl.steps import failures

MONTH = "2024-01"
INGESTED = Receipt("ingest_month", "success", MONTH, rows=3, bytes=99, source_sha256="ab12", digest="cd34")
Steps = Callable[..., list[Run]]


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
    parameters = Parameters(source="/data", schema="trips", strategy="delete-append", force=True)
    result = run(raw_zones, parameters=parameters)
    assert seen == [Run("/data", "trips", "delete-append", True, loader="dagster", run_id=result.run_id)]


def test_someone_who_materialises_by_hand_loads_the_publishers_file(steps: Steps) -> None:
    seen = steps()
    result = run(raw_zones)
    assert seen == [Run("tlc", "dagster", loader="dagster", run_id=result.run_id)]


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


WARNED = Result("odd", "fct_trips", "data", "warn", False, 9, "About it.", {"2024-01-01": 2, "2024-02-01": 7})
LINE = "odd on fct_trips: 2 of 8 rows, 25 % (also 2024-02: 7). About it."


def passed() -> list[Result]:
    """A result of each data test that passed."""
    tests = [test for model in MODELS for test in model.tests if test.kind == "data"]
    return [Result(t.name, t.model, "data", t.severity, True, 0, "", {}) for t in tests]


@pytest.mark.parametrize(("strict", "severity"), [(False, "WARN"), (True, "ERROR")])
def test_a_warning_counts_the_months_own_rows_and_fails_only_a_strict_run(
    steps: Steps, strict: bool, severity: str
) -> None:
    results = passed()
    index = next(number for number, each in enumerate(results) if each.severity == "warn")
    results[index] = replace(WARNED, name=results[index].name, model=results[index].model)
    end = CheckFailed("1 test failed") if strict else Receipt("check", "success", MONTH, warnings=(LINE,))
    seen = steps(results=results, trips=8, check=end)
    result = run(models, checks, parameters=Parameters(strict=strict))
    (evaluation,) = [each for each in result.get_asset_check_evaluations() if not each.passed]
    assert evaluation.severity is dg.AssetCheckSeverity(severity)
    assert evaluation.description == results[index].warning(dt.date(2024, 1, 1), 8)
    assert evaluation.metadata["failures"].value == 2
    assert seen[-1].strict is strict
    assert result.success is not strict


def test_what_the_pipeline_logs_is_among_the_events_of_the_run(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    steps()
    monkeypatch.setattr(pipeline, "ingest_zones", lambda _: pipeline._logged(Receipt("z", "success", warnings=(LINE,))))
    with dg.instance_for_test(overrides={"python_logs": dagster_yaml()["python_logs"]}) as instance:
        result = dg.materialize(
            [raw_zones], partition_key=MONTH, resources={"parameters": Parameters()}, instance=instance
        )
        told = [(entry.level, entry.user_message) for entry in instance.all_logs(result.run_id) if entry.step_key]
    assert (logging.INFO, "z: success") in told
    assert (logging.WARNING, f"z: {LINE}") in told
    logging.getLogger("core").setLevel(logging.NOTSET)  # Dagster leaves its own


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
