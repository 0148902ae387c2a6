"""What goes wrong on the way: bad months, passing faults, kills. The others land, and a second run mends the rest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import RETRIES, TriptychError
from core.lab.protocol import BackfillResult, MonthRecord
from tests.contract.bench import MONTHS, Bench, Schema

GOOD, BAD, SHAKY, LAST = MONTHS


@pytest.fixture(scope="module")
def troubled(bench: Bench, orchestrator: str) -> tuple[Schema, dict[str, MonthRecord]]:
    """Four months over http: one is a web page under its name, one answers 503 once."""
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
    assert bench.tables(schema) == bench.golden(bench.folder, (GOOD, SHAKY, LAST))


def test_the_bad_month_is_reported_with_its_cause(troubled: Troubled) -> None:
    error = troubled[1][BAD].error
    assert error is not None
    assert f"green_tripdata_{BAD}.parquet is a web page" in error
    assert "\n" not in error and "Traceback" not in error


def test_a_permanent_error_is_not_tried_again(troubled: Troubled) -> None:
    assert troubled[1][BAD].attempts == 1


def test_a_passing_fault_costs_one_more_attempt(troubled: Troubled) -> None:
    assert troubled[1][SHAKY].attempts == 2


def test_a_fault_that_stays_is_tried_as_often_as_core_says(bench: Bench, orchestrator: str) -> None:
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


def test_a_loader_killed_in_the_middle_of_a_load_loses_nothing(bench: Bench, orchestrator: str) -> None:
    schema, months = bench.schema(), MONTHS[:2]
    bench.backfill("plain", months[:1], bench.folder, schema)
    before = bench.tables(schema)

    def run() -> BackfillResult | None:
        try:
            return bench.backfill(orchestrator, months[1:], bench.folder, schema)
        except TriptychError:
            return None  # the runner itself was the process that was killed

    with ThreadPoolExecutor(1) as pool:
        with bench.held_before_publishing(schema) as loader:
            running = pool.submit(run)
            loader.kill(months[1])
            assert bench.tables(schema) == before
        interrupted = running.result()
    if "survives_worker_kill" in bench.capabilities(orchestrator):
        assert interrupted is not None and interrupted.status == "success"
        assert interrupted.months[0].attempts == 2, "the killed attempt counts"
        assert bench.tables(schema) == bench.golden(bench.folder, months)
    again = bench.backfill(orchestrator, months, bench.folder, schema)
    assert again.status == "success"
    assert bench.tables(schema) == bench.golden(bench.folder, months)


def test_what_is_interrupted_is_not_gone_on_with(bench: Bench, orchestrator: str) -> None:
    """Its services stay: without being told, they would load the other months, though nobody waits for them any more."""
    schema, other = bench.schema(), bench.schema()
    first = bench.backfill(orchestrator, (LAST,), bench.folder, schema)
    assert first.status == "success", first
    bench.interrupt(orchestrator, (GOOD, BAD, SHAKY), schema)
    assert bench.backfill(orchestrator, MONTHS, bench.folder, other).status == "success"  # time enough to go on
    assert len(bench.ledger(schema).keys() - {LAST}) <= 1, "the one that was being loaded may have landed"
    assert bench.backfill(orchestrator, MONTHS, bench.folder, schema).status == "success"
    assert bench.tables(schema) == bench.golden(bench.folder, MONTHS)
