"""The branch: what is pending for a month, and why "skip when no rows came" is the wrong question."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from core import pipeline
from core.database import connect
from core.errors import CheckFailed, UsageError
from core.month import Month
from core.run import Receipt, Run
from tests.integration.marts import Publisher, Row, query

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_dbt")]

JANUARY, FEBRUARY = Month(2024, 1), Month(2024, 2)
TEN: list[Row] = [{}] * 10
ODD: Row = {"VendorID": 9}
"""A row that breaks a data test of severity ``warn``."""


def run_of(publisher: Publisher, run_id: str = "r1", strict: bool = False) -> Run:
    return replace(publisher.run("plain"), run_id=run_id, strict=strict)


def load(publisher: Publisher, run: Run, month: Month = JANUARY) -> Receipt:
    pipeline.ingest_zones(run)
    return pipeline.ingest_month(run, month)


def built(publisher: Publisher, rows: list[Row] = TEN, month: Month = JANUARY) -> None:
    """Publish, load and build a month, in a run of its own."""
    publisher.land("plain", str(month), rows)
    pipeline.transform(run_of(publisher), month)


def marts() -> int:
    (rows,) = query("SELECT count(*) FROM {}.fct_trips", "plain")[0]
    return int(rows)


# --- what is pending


def test_the_first_build_is_pending(publisher: Publisher) -> None:
    publisher.land("plain", "2024-01", TEN)
    assert pipeline.pending(run_of(publisher), JANUARY) == ("this is the first build",)


def test_nothing_is_pending_for_a_month_that_is_built_and_was_loaded_by_another_run(publisher: Publisher) -> None:
    built(publisher)
    assert load(publisher, run_of(publisher, "r2")).state == "unchanged"
    assert pipeline.pending(run_of(publisher, "r2"), JANUARY) == ()


def test_a_month_that_this_run_loaded_is_checked_by_this_run(publisher: Publisher) -> None:
    """Another month's build may cover it before its own run asks: its check is still the run's own."""
    run = run_of(publisher)
    publisher.land("plain", "2024-01", TEN)
    publisher.land("plain", "2024-02", TEN)
    pipeline.ingest_month(replace(run, force=True), JANUARY)
    pipeline.transform(run_of(publisher, "r2"), FEBRUARY)
    assert pipeline.pending(run, JANUARY) == ("this run loaded it",)
    assert pipeline.pending(run_of(publisher, "r3"), JANUARY) == ()


def test_what_another_month_has_pending_is_the_business_of_its_own_run(publisher: Publisher) -> None:
    built(publisher)
    publisher.land("plain", "2024-02", TEN)
    assert pipeline.pending(run_of(publisher), JANUARY) == ()
    assert pipeline.pending(run_of(publisher), FEBRUARY) == ("2024-02 loaded",)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("DELETE FROM plain.transform_ledger WHERE dataset = 'project'", "the dbt project changed"),
        ("UPDATE plain.raw_zones SET borough = 'Kings' WHERE location_id = 7", "the zones changed"),
        ("DROP VIEW plain.stg_zones", "stg_zones missing"),
        ("DROP TABLE plain.fct_trips", "fct_trips missing"),
        ("DELETE FROM plain.fct_trips WHERE row_number = 1", "fct_trips has 9 rows where its last build left 10"),
        ("DELETE FROM plain.load_ledger WHERE month = '2024-02-01'", None),
    ],
)
def test_whatever_a_build_would_change_of_the_month_is_pending(
    publisher: Publisher, spoil: str, said: str | None
) -> None:
    publisher.land("plain", "2024-02", TEN)
    built(publisher)
    with connect("test") as connection:
        connection.execute(spoil.encode())
    expected = (said,) if said else ()
    assert pipeline.pending(run_of(publisher, "r2"), JANUARY) == expected
    if said:
        assert pipeline.transform(run_of(publisher), JANUARY).state == "success", "a build does what was pending"


def test_a_month_whose_check_failed_is_checked_again(publisher: Publisher) -> None:
    """Otherwise a second run, with nothing to load and to build, would turn the month green."""
    built(publisher, [ODD, *TEN])
    strict, lenient = run_of(publisher, "r2", strict=True), run_of(publisher, "r2")
    assert pipeline.pending(lenient, JANUARY) == ()
    (reason,) = pipeline.pending(strict, JANUARY)
    assert reason.startswith("its last check failed: ")
    assert "codes_are_documented on fct_trips: 1 of 11 rows" in reason
    with pytest.raises(CheckFailed, match="codes_are_documented"):
        pipeline.check(strict, JANUARY)


def test_a_month_that_is_not_loaded_has_a_clear_answer(publisher: Publisher) -> None:
    built(publisher)
    with pytest.raises(UsageError, match="schema 'plain' has no 2024-02 of green: run the month's ingest step first"):
        pipeline.report(run_of(publisher), FEBRUARY, built=False)


# --- the report


def test_the_report_is_one_line_and_repeats_the_warnings_of_a_check_that_was_skipped(publisher: Publisher) -> None:
    built(publisher, [ODD, *TEN])
    checked = pipeline.check(run_of(publisher), JANUARY)
    assert checked.warnings
    first = pipeline.report(run_of(publisher, "test"), JANUARY, built=True)
    assert (first.state, first.rows, first.warnings) == ("success", 11, ())
    again = pipeline.report(run_of(publisher, "r2"), JANUARY, built=False)
    assert again.detail == f"digest {str(again.digest)[:10]}, unchanged, transform and check skipped"
    assert again.warnings == checked.warnings


# --- the branch that guides show


def ours(run: Run, month: Month, loaded: Receipt) -> bool:
    """Whether anything is pending."""
    return bool(pipeline.pending(run, month))


def guides(run: Run, month: Month, loaded: Receipt) -> bool:
    """Whether the load of this run brought rows: `return "transform" if rows else "skip"`."""
    return loaded.state != "unchanged" and bool(loaded.rows)


STALE = pytest.mark.xfail(strict=True, raises=AssertionError, reason="It asks what this run loaded, not what is built.")
Branch = Callable[[Run, Month, Receipt], bool]
branches = pytest.mark.parametrize("branch", [ours, pytest.param(guides, marks=STALE)])


def run_month(publisher: Publisher, branch: Branch, run_id: str) -> None:
    """Run the month as an orchestrator does."""
    run = run_of(publisher, run_id)
    loaded = load(publisher, run)
    if branch(run, JANUARY, loaded):
        pipeline.transform(run, JANUARY)
        pipeline.check(run, JANUARY)


@branches
def test_a_crash_between_load_and_build_leaves_no_stale_mart(publisher: Publisher, branch: Branch) -> None:
    built(publisher)
    # The run that loads these rows ends before it builds anything.
    publisher.land("plain", "2024-01", TEN * 2)
    run_month(publisher, branch, "r2")
    assert marts() == 20


@branches
def test_an_empty_file_that_replaces_a_full_one_is_built(publisher: Publisher, branch: Branch) -> None:
    built(publisher)
    publisher.publish("2024-01", [])
    run_month(publisher, branch, "r2")
    assert marts() == 0
