"""Capabilities that an orchestrator declares, asked of its running services. Other modules ask for the rest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import httpx
import pytest

from core.errors import UsageError
from core.lab.registry import orchestrators
from core.waiting import until
from tests.contract.bench import MONTHS, Bench, is_alive


@pytest.mark.capability("web")
def test_its_web_page_answers(bench: Bench, orchestrator: str) -> None:
    web = bench.lab.stack(orchestrators(bench.lab.settings)[orchestrator]).start().web
    assert web
    answer = httpx.get(web, follow_redirects=True, timeout=60, trust_env=False)
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/html")


@pytest.mark.capability("concurrent_backfills")
def test_two_backfills_run_side_by_side(bench: Bench, orchestrator: str) -> None:
    """The second ends while the first is held in the middle of its load."""
    schema, other = bench.schema(), bench.schema()
    alone = bench.backfill(orchestrator, MONTHS[:1], bench.folder, schema)
    # Where the second one has to wait for the first, this is how long the test lasts.
    is_lacking = "concurrent_backfills" in bench.description(orchestrator).lacks
    patience_s = alone.seconds if is_lacking else 15 + 2 * alone.seconds
    with ThreadPoolExecutor(2) as pool:
        with bench.held_before_publishing(schema) as held:
            first = pool.submit(bench.backfill, orchestrator, MONTHS[1:2], bench.folder, schema)
            until(lambda: held.waiting(MONTHS[1]), 240, 0.05, "a load to be under way")
            second = pool.submit(bench.backfill, orchestrator, MONTHS[:1], bench.folder, other)
            ended, _ = wait([second], timeout=patience_s)
        results = [first.result(), second.result()]
    assert [result.status for result in results] == ["success", "success"]
    assert second in ended


@pytest.mark.capability("detached_backfills")
def test_a_backfill_goes_on_when_its_command_is_killed(bench: Bench, orchestrator: str) -> None:
    """Of two months, one at a time, the first is loading at the time of the kill, and the second has not begun."""
    schema, months = bench.schema(), MONTHS[1:3]
    bench.backfill("plain", MONTHS[:1], bench.folder, schema)
    with ThreadPoolExecutor(1) as pool, bench.held_before_publishing(schema) as held:
        running = pool.submit(bench.backfill, orchestrator, months, bench.folder, schema, jobs=1)
        loader = until(lambda: held.waiting(months[0]), 240, 0.05, "a load to be under way")
        bench.kill_runner(orchestrator)
        assert running.result().status == "failed", "the command itself has no result"
        assert is_alive(loader)
    until(lambda: bench.ledger(schema).keys() >= {*months} or None, 240, 0.5, "both months in the ledger")
    # Its last builds may still be running. Another command's backfill comes after them.
    assert bench.backfill(orchestrator, MONTHS[:3], bench.folder, schema).status == "success"
    assert bench.tables(schema) == bench.baseline(bench.folder, MONTHS[:3])


@pytest.mark.capability("one_run")
def test_a_range_as_one_run_makes_the_same_tables(bench: Bench, orchestrator: str) -> None:
    schema = bench.schema()
    try:
        result = bench.backfill(orchestrator, MONTHS[:2], bench.folder, schema, mode="one-run")
    except UsageError as refusal:
        raise AssertionError(refusal) from refusal
    assert result.mode == "one-run"
    assert [(month.month, month.state) for month in result.months] == [(month, "success") for month in MONTHS[:2]]
    assert bench.tables(schema) == bench.baseline(bench.folder, MONTHS[:2])
