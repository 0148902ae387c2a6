"""What a run does: its parameters, metadata, checks, and which errors are retried. In one process, without services."""

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import dagster as dg
import pytest

from core import pipeline
from core.errors import RETRIES, RETRY_DELAY_S, BadFile, CheckFailed, SourceUnavailable
from core.run import Receipt, Run
from core.transform import Result
from dagster_impl.definitions import defs
from dagster_impl.defs.models import MODELS, checks, models
from dagster_impl.defs.raw import raw_trips, raw_zones
from dagster_impl.defs.report import month_report
from dagster_impl.defs.resources import Parameters
from dagster_impl.lab.services import dagster_yaml
from dagster_impl.steps import failures

MONTH = "2024-01"
FAILURE = "dagster._core.definitions.events.Failure"
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
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    return str(data.description)


def materialization(result: dg.ExecuteInProcessResult, step: str) -> dg.AssetMaterialization:
    (event,) = result.asset_materializations_for_node(step)
    return event


def test_the_receipt_is_the_metadata_and_the_digest_the_data_version(steps: Steps) -> None:
    steps(ingest_month=INGESTED)
    event = materialization(run(raw_trips, parameters=Parameters(schema="trips")), "raw_trips")
    values = {name: entry.value for name, entry in event.metadata.items()}
    assert values == {
        "state": "success",
        "bytes": 99,
        "source_sha256": "ab12",
        "digest": "cd34",
        "dagster/partition_row_count": 3,
        "dagster/table_name": "trips.raw_trips",
    }
    assert event.tags is not None
    assert event.tags["dagster/data_version"] == "cd34"
    assert event.partition == MONTH


def test_a_lookup_counts_the_rows_of_the_whole_table(steps: Steps) -> None:
    steps(ingest_zones=Receipt("ingest_zones", "unchanged", rows=265))
    metadata = materialization(run(raw_zones), "raw_zones").metadata
    assert metadata["dagster/row_count"].value == 265
    assert "dagster/partition_row_count" not in metadata


def test_the_pipeline_gets_the_parameters_of_the_run_config(steps: Steps) -> None:
    seen = steps()
    parameters = Parameters(source="/data", schema="trips", strategy="delete-append", force=True)
    result = run(raw_zones, parameters=parameters)
    assert seen == [Run("/data", "trips", "delete-append", True, loader="dagster", run_id=result.run_id)]


def test_a_run_without_parameters_loads_the_sample(steps: Steps) -> None:
    seen = steps()
    result = run(raw_zones)
    assert seen == [Run("sample", "dagster", loader="dagster", run_id=result.run_id)]


def test_only_the_model_with_a_row_for_each_trip_counts_rows(steps: Steps) -> None:
    steps(transform=Receipt("transform", "success", MONTH, rows=7))
    events = run(models).asset_materializations_for_node("transform")
    assert {e.asset_key.to_user_string() for e in events} == {model.name for model in MODELS}
    assert {e.asset_key.to_user_string() for e in events if "dagster/partition_row_count" in e.metadata} == {
        "fct_trips"
    }


def test_a_failed_test_fails_the_check_of_its_model_and_the_run(steps: Steps) -> None:
    bad, *good = [test for model in MODELS for test in model.tests if test.kind == "data"]
    others = [Result(t.name, t.model, "data", t.severity, True, 0, "", {}) for t in good]
    broken = Result(bad.name, bad.model, "data", bad.severity, False, 2, "got 2 rows", {"2024-01-01": 2})
    steps(results=[broken, *others], check=CheckFailed(f"1 test failed: {bad.name}"))
    result = run(models, checks)
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert [(e.asset_key.to_user_string(), e.check_name, e.partition) for e in failed] == [(bad.model, bad.name, MONTH)]
    assert len(result.get_asset_check_evaluations()) == 1 + len(good)
    assert message(result, "check") == f"1 test failed: {bad.name}"
    assert not result.success


WARNED = Result("odd", "fct_trips", "data", "warn", False, 9, "About it.", {"2024-01-01": 2, "2024-02-01": 7})
LINE = "odd on fct_trips: 2 of 8 rows, 25 % (also 2024-02: 7). About it."


def passed() -> list[Result]:
    """Return a result of each data test: all have passed."""
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


def test_the_run_page_shows_what_the_pipeline_logs(steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    steps()
    monkeypatch.setattr(pipeline, "ingest_zones", lambda _: pipeline._logged(Receipt("z", "success", warnings=(LINE,))))
    with dg.instance_for_test(overrides={"python_logs": dagster_yaml()["python_logs"]}) as instance:
        result = dg.materialize(
            [raw_zones], partition_key=MONTH, resources={"parameters": Parameters()}, instance=instance
        )
        lines = [(entry.level, entry.user_message) for entry in instance.all_logs(result.run_id) if entry.step_key]
    assert (logging.INFO, "z: success") in lines
    assert (logging.WARNING, f"z: {LINE}") in lines
    # Dagster leaves its own level behind.
    logging.getLogger("core").setLevel(logging.NOTSET)


def test_a_transient_error_is_retried(steps: Steps) -> None:
    steps(ingest_month=[SourceUnavailable("503"), INGESTED])
    result = run(raw_trips)
    assert result.success
    assert attempts(result, "raw_trips") == 2


def test_a_step_of_a_terminated_run_is_not_retried(steps: Steps) -> None:
    seen = steps(ingest_month=[dg.DagsterExecutionInterruptedError(), INGESTED])
    assert not run(raw_trips, models).success
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [(BadFile("not parquet: fetch it again"), "not parquet: fetch it again"), (KeyError("fare"), "KeyError: 'fare'")],
)
def test_a_permanent_error_and_a_bug_are_not_retried(steps: Steps, error: Exception, line: str) -> None:
    steps(ingest_month=error)
    result = run(raw_trips, models)
    assert attempts(result, "raw_trips") == 1
    assert message(result, "raw_trips") == line
    assert attempts(result, "transform") == 0


def test_each_attempt_tells_the_cause_and_shows_no_frames_of_a_library(steps: Steps) -> None:
    error = SourceUnavailable("503: busy")
    error.__cause__ = OSError("deep inside of a library")
    steps(ingest_month=error)
    result = run(raw_trips)
    retries = [event.event_specific_data.error.cause for event in result.all_events if event.is_step_up_for_retry]
    assert [str(cause.message).strip() for cause in retries] == [f"{FAILURE}: 503: busy"] * RETRIES
    assert message(result, "raw_trips") == "503: busy"
    last = result.get_step_failure_events()[0].step_failure_data.error
    assert last is not None
    assert (last.message.strip(), last.cause, last.context) == (f"{FAILURE}: 503: busy", None, None)


@pytest.mark.parametrize(
    ("error", "attempt", "retried"),
    [
        (SourceUnavailable("503"), 0, True),
        (SourceUnavailable("503"), RETRIES, False),
        (BadFile("html"), 0, False),
        (KeyError("fare"), 0, False),
    ],
)
def test_a_retry_is_requested_only_after_a_transient_error(error: Exception, attempt: int, retried: bool) -> None:
    context: Any = SimpleNamespace(retry_number=attempt)
    with pytest.raises(dg.RetryRequested if retried else dg.Failure) as raised, failures(context):
        raise error
    assert getattr(raised.value, "seconds_to_wait", None) == (RETRY_DELAY_S if retried else None)


def ended(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Return how each step ended."""
    ends = {"STEP_SUCCESS": "success", "STEP_SKIPPED": "skipped", "STEP_FAILURE": "failed"}
    events = [(event.step_key, event.event_type_value) for event in result.all_events if event.step_key]
    return {key: ends[kind] for key, kind in events if kind in ends and key}


def whole_job(parameters: Parameters | None = None) -> dg.ExecuteInProcessResult:
    return run(raw_zones, raw_trips, models, checks, month_report, parameters=parameters)


def report_of(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = [event for event in result.get_asset_materialization_events() if event.asset_key == month_report.key]
    return {name: entry.value for name, entry in event.materialization.metadata.items()}


def test_a_month_with_nothing_pending_skips_its_models_and_checks_and_is_reported(steps: Steps) -> None:
    steps(pending=(), report=Receipt("report", "success", MONTH, rows=7))
    result = whole_job()
    assert result.success
    assert ended(result) == dict.fromkeys(("raw_zones", "raw_trips", "transform", "month_report.report"), "success") | {
        "check": "skipped", "month_report.checked": "skipped",
    }  # fmt: skip
    assert not result.asset_materializations_for_node("transform")
    assert report_of(result) == {"state": "success", "dagster/partition_row_count": 7}


def test_a_month_that_was_built_is_reported_after_its_checks(steps: Steps) -> None:
    steps(results=passed())
    result = whole_job()
    assert set(ended(result).values()) == {"success"}
    assert list(ended(result))[-3:] == ["check", "month_report.checked", "month_report.report"]


def month_job() -> dg.JobDefinition:
    return defs().resolve_job_def("taxi_pipeline")


def test_the_retry_of_a_run_that_built_the_month_reports_that_it_did(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps(results=passed())
    report = Mock(side_effect=[BadFile("no line"), Receipt("report", "success", MONTH)])
    monkeypatch.setattr(pipeline, "report", report)
    job, tags = dg.reconstructable(month_job), {"dagster/partition": MONTH}
    with dg.instance_for_test() as instance:
        first = dg.execute_job(job, instance, tags=tags)
        again = dg.ReexecutionOptions.from_failure(first.run_id, instance)
        assert dg.execute_job(job, instance, tags=tags, reexecution_options=again).success
    assert [call.kwargs["built"] for call in report.call_args_list] == [True, True]


@pytest.mark.parametrize("failing", ["ingest_zones", "ingest_month", "transform", "check"])
def test_a_month_in_which_a_step_failed_is_not_reported(steps: Steps, failing: str) -> None:
    steps(results=passed(), **{failing: BadFile("html")})
    result = whole_job()
    assert not result.success
    assert "month_report.report" not in ended(result)
