"""Bad months, transient faults, kills: the other months land, and a second run completes the rest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from core.errors import RETRIES
from core.lab.protocol import BackfillResult, MonthRecord
from core.waiting import until
from tests.contract.bench import MONTHS, Bench, Schema, Tables, is_alive

GOOD, BAD, SHAKY, LAST = MONTHS
TWO = MONTHS[:2]


@pytest.fixture(scope="module")
def troubled(bench: Bench, orchestrator: str) -> tuple[Schema, dict[str, MonthRecord]]:
    """Four months over http: under one name there is a web page, and one answers 503 once."""
    schema = bench.schema()
    with bench.publisher() as site:
        site.page(BAD)
        site.fail(SHAKY, status=503, times=1)
        result = bench.backfill(orchestrator, MONTHS, site.url, schema)
    assert result.status == "failed"
    return schema, {month.month: month for month in result.months}


Troubled = tuple[Schema, dict[str, MonthRecord]]


def test_a_bad_month_does_not_hold_back_the_others(bench: Bench, troubled: Troubled) -> None:
    schema, months = troubled
    assert {month: record.state for month, record in months.items()} == {
        GOOD: "success", BAD: "failed", SHAKY: "success", LAST: "success",
    }  # fmt: skip
    assert bench.tables(schema) == bench.baseline(bench.folder, (GOOD, SHAKY, LAST))


def test_the_bad_month_is_reported_with_its_cause(troubled: Troubled) -> None:
    error = troubled[1][BAD].error
    assert error is not None
    assert f"green_tripdata_{BAD}.parquet is a web page" in error
    assert "\n" not in error and "Traceback" not in error


def test_a_permanent_error_is_not_retried(troubled: Troubled) -> None:
    assert troubled[1][BAD].attempts == 1


def test_a_transient_fault_costs_one_more_attempt(troubled: Troubled) -> None:
    assert troubled[1][SHAKY].attempts == 2


def test_a_fault_that_stays_is_retried_as_often_as_core_says(bench: Bench, orchestrator: str) -> None:
    schema = bench.schema()
    with bench.publisher() as site:
        site.fail(GOOD, status=503, times=100)
        result = bench.backfill(orchestrator, (GOOD,), site.url, schema)
    (month,) = result.months
    assert (month.state, month.attempts) == ("failed", 1 + RETRIES)
    assert month.error is not None and "answered 503" in month.error


def test_a_month_that_is_not_published_yet_says_so(bench: Bench, orchestrator: str) -> None:
    with bench.publisher() as site:
        result = bench.backfill(orchestrator, ("2024-12",), site.url, bench.schema())
    (month,) = result.months
    assert (month.state, month.attempts) == ("failed", 1)
    assert month.error is not None and month.error.startswith("2024-12 is not published yet")


@dataclass
class Killed:
    """A backfill whose loader was killed with SIGKILL in the middle of a load."""

    schema: Schema
    is_unchanged: bool
    """Whether the tables were as before, with the loader dead."""
    result: BackfillResult
    tables: Tables
    """What the backfill left when it ended."""


@pytest.fixture(scope="module")
def killed(bench: Bench, orchestrator: str) -> Killed:
    """A schema with one month, and a backfill of the second whose loader is killed."""
    schema = bench.schema()
    bench.backfill("plain", TWO[:1], bench.folder, schema)
    before = bench.tables(schema)
    with ThreadPoolExecutor(1) as pool:
        with bench.held_before_publishing(schema) as loader:
            running = pool.submit(bench.backfill, orchestrator, TWO[1:], bench.folder, schema)
            loader.kill(TWO[1])
            is_unchanged = bench.tables(schema) == before
        return Killed(schema, is_unchanged, running.result(), bench.tables(schema))


@pytest.mark.capability("survives_worker_kill")
def test_a_killed_month_runs_again_by_itself(bench: Bench, killed: Killed) -> None:
    assert killed.result.status == "success"
    assert killed.result.months[0].attempts == 2, "the killed attempt counts"
    assert killed.tables == bench.baseline(bench.folder, TWO)


def test_a_loader_killed_in_the_middle_of_a_load_loses_nothing(bench: Bench, orchestrator: str, killed: Killed) -> None:
    assert killed.is_unchanged
    assert bench.backfill(orchestrator, TWO, bench.folder, killed.schema).status == "success"
    assert bench.tables(killed.schema) == bench.baseline(bench.folder, TWO)


@pytest.mark.capability("survives_worker_kill")
def test_a_month_lands_after_the_process_above_its_loader_is_killed(bench: Bench, orchestrator: str) -> None:
    schema = bench.schema()
    bench.backfill("plain", TWO[:1], bench.folder, schema)
    with ThreadPoolExecutor(1) as pool:
        with bench.held_before_publishing(schema) as loader:
            running = pool.submit(bench.backfill, orchestrator, TWO[1:], bench.folder, schema)
            orphan = loader.kill_above(TWO[1])
        assert running.result().status == "success"
    until(lambda: not is_alive(orphan) or None, 60, 0.1, f"the end of process {orphan}, whose parent was killed")
    assert bench.tables(schema) == bench.baseline(bench.folder, TWO)


def test_an_interrupted_backfill_does_not_go_on(bench: Bench, orchestrator: str) -> None:
    """Its services stay up: without a cancellation they would load the other months, which no command waits for."""
    schema, other = bench.schema(), bench.schema()
    first = bench.backfill(orchestrator, (LAST,), bench.folder, schema)
    assert first.status == "success", first
    bench.interrupt(orchestrator, (GOOD, BAD, SHAKY), schema)
    # This one takes long enough for the interrupted one to load another month.
    assert bench.backfill(orchestrator, MONTHS, bench.folder, other).status == "success"
    assert len(bench.ledger(schema).keys() - {LAST}) <= 1, "the one that was being loaded may have landed"
    assert bench.backfill(orchestrator, MONTHS, bench.folder, schema).status == "success"
    assert bench.tables(schema) == bench.baseline(bench.folder, MONTHS)
