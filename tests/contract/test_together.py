"""More than one at a time, and more than one tool: on one schema, in every order, at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, permutations

import pytest

from tests.contract.bench import MONTHS, Bench, tools

TOOLS = tools()


@pytest.mark.parametrize("order", list(permutations(TOOLS)), ids="-".join)
def test_a_backfill_may_change_tools_half_way(bench: Bench, order: tuple[str, ...]) -> None:
    """The first tool loads one half, the second the other; the third runs what is at the seam, and finds nothing to do."""
    schema, (first, second, *others) = bench.schema(), order
    assert bench.backfill(first, MONTHS[:2], bench.folder, schema).status == "success"
    assert bench.backfill(second, MONTHS[2:], bench.folder, schema).status == "success"
    for tool in others:
        assert {month.state for month in bench.backfill(tool, MONTHS[1:3], bench.folder, schema).months} == {
            "unchanged"
        }
    assert [bench.ledger(schema)[month].loader for month in MONTHS] == [first, first, second, second]
    assert bench.tables(schema) == bench.golden(bench.folder, MONTHS)


@pytest.mark.parametrize("pair", list(combinations(TOOLS, 2)), ids="-".join)
def test_two_tools_at_once_on_the_same_months_and_schema(bench: Bench, pair: tuple[str, str]) -> None:
    schema = bench.schema()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(bench.backfill, tool, MONTHS[:2], bench.folder, schema) for tool in pair]
        results = [each.result() for each in running]
    assert [result.status for result in results] == ["success", "success"]
    for month in MONTHS[:2]:
        states = sorted(record.state for result in results for record in result.months if record.month == month)
        assert states == ["success", "unchanged"], f"{month} was published {states.count('success')} times"
    assert bench.tables(schema) == bench.golden(bench.folder, MONTHS[:2])


def test_the_same_tool_twice_at_once(bench: Bench, orchestrator: str) -> None:
    schema = bench.schema()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(bench.backfill, orchestrator, MONTHS[:2], bench.folder, schema) for _ in range(2)]
        results = [each.result() for each in running]
    assert [result.status for result in results] == ["success", "success"]
    assert bench.tables(schema) == bench.golden(bench.folder, MONTHS[:2])


def test_two_months_at_a_time_are_in_the_loader_at_once(bench: Bench, orchestrator: str) -> None:
    """Each month's file is held back until the other one has been asked for: one at a time could never end."""
    schema, months = bench.schema(), MONTHS[:2]
    with bench.publisher() as site:
        site.release_together(months)
        result = bench.backfill(orchestrator, months, site.url, schema, jobs=2)
    assert [month.state for month in result.months] == ["success", "success"]
    assert bench.tables(schema) == bench.golden(bench.folder, months)
