"""Several months at a time, and several orchestrators on one schema: in every order, and at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise, permutations

import pytest

from tests.contract.bench import MONTHS, Bench, orchestrator_names

ORCHESTRATORS = orchestrator_names()

BACKWARD = list(pairwise([*reversed(ORCHESTRATORS), ORCHESTRATORS[-1]]))
"""The handovers that the migrations of `make parity` leave out (`tests.contract.test_migration`)."""

ORDERS = [
    pytest.param(order, id="-".join(order), marks=() if order[:2] in BACKWARD else pytest.mark.exhaustive)
    for order in permutations(ORCHESTRATORS)
]


@pytest.mark.parametrize("order", ORDERS)
def test_a_backfill_may_change_orchestrators_halfway(bench: Bench, order: tuple[str, ...]) -> None:
    """The first loads one half, the second the other; the third runs the months at the seam, and has nothing to do."""
    schema, (first, second, *others) = bench.schema(), order
    assert bench.backfill(first, MONTHS[:2], bench.folder, schema).status == "success"
    assert bench.backfill(second, MONTHS[2:], bench.folder, schema).status == "success"
    for each in others:
        seam = bench.backfill(each, MONTHS[1:3], bench.folder, schema)
        assert {month.state for month in seam.months} == {"unchanged"}
    assert [bench.ledger(schema)[month].loader for month in MONTHS] == [first, first, second, second]
    assert bench.tables(schema) == bench.baseline(bench.folder, MONTHS)


@pytest.mark.parametrize("pair", list(combinations(ORCHESTRATORS, 2)), ids="-".join)
def test_two_orchestrators_at_once_on_the_same_months_and_schema(bench: Bench, pair: tuple[str, str]) -> None:
    schema = bench.schema()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(bench.backfill, each, MONTHS[:2], bench.folder, schema) for each in pair]
        results = [each.result() for each in running]
    assert [result.status for result in results] == ["success", "success"]
    for month in MONTHS[:2]:
        states = sorted(record.state for result in results for record in result.months if record.month == month)
        assert states == ["success", "unchanged"], f"{month} was published {states.count('success')} times"
    assert bench.tables(schema) == bench.baseline(bench.folder, MONTHS[:2])


def test_the_same_orchestrator_twice_at_once(bench: Bench, orchestrator: str) -> None:
    schema = bench.schema()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(bench.backfill, orchestrator, MONTHS[:2], bench.folder, schema) for _ in range(2)]
        results = [each.result() for each in running]
    assert [result.status for result in results] == ["success", "success"]
    assert bench.tables(schema) == bench.baseline(bench.folder, MONTHS[:2])


def test_two_months_at_a_time_load_at_once(bench: Bench, orchestrator: str) -> None:
    """Each month's file is held back until the other is asked for, so one month at a time could never end."""
    schema, months = bench.schema(), MONTHS[:2]
    with bench.publisher() as site:
        site.release_together(months)
        result = bench.backfill(orchestrator, months, site.url, schema, jobs=2)
    assert [month.state for month in result.months] == ["success", "success"]
    assert bench.tables(schema) == bench.baseline(bench.folder, months)
