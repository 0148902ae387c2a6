"""A slice of `tests.faults.drills`: three components of each orchestrator die in the middle of a backfill."""

from __future__ import annotations

import pytest

from tests.contract.bench import MONTHS, Bench
from tests.faults.drills.drill import Ground, carry_out
from tests.faults.drills.plan import of_ci

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ground(bench: Bench) -> Ground:
    """Three months to backfill, on the services that all tests share."""
    found = Ground(bench, bench.folder, MONTHS[0], MONTHS[1:])
    found.prepare()
    return found


@pytest.mark.without_baseline
@pytest.mark.parametrize("place", range(3))
def test_the_tables_are_right_and_nothing_is_left_after_a_death(ground: Ground, orchestrator: str, place: int) -> None:
    drill = of_ci(orchestrator)[place]
    row = carry_out(ground, drill)
    print(drill.name, row)
    assert row["tables_identical"], row
    assert (row["partial_reads"], row["looks"] > 0) == (0, True), row
    assert row["noticed_s"] is not None, row
    assert (row["stuck"], row["needed_hand"]) == (0, None), row
    assert row["recovered_s"] is not None, "the month lands without another command"
