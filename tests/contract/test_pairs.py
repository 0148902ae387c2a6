"""A slice of `tests.faults.drills.pairs`: of two of everything, one dies in the middle of a backfill."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.bench import MONTHS, opened
from tests.faults.drills.drill import Ground
from tests.faults.drills.pair_plan import BACKFILL, PAIRS, Pair, scale_of
from tests.faults.drills.pairs import DEADLINE_S, backfill


@pytest.mark.slow
@pytest.mark.parametrize("name", PAIRS)
def test_the_tables_are_right_when_one_of_two_dies(name: str, tmp_path: Path) -> None:
    with opened(tmp_path, scale={name: scale_of(name)}) as bench:
        ground = Ground(bench, bench.folder, MONTHS[0], MONTHS[1:], DEADLINE_S)
        ground.prepare()
        row = backfill(ground, Pair(name, PAIRS[name][0], BACKFILL))
    print(row)
    assert row["tables_identical"], row
    assert (row["partial_reads"], row["looks"] > 0) == (0, True), row
    assert row["noticed_s"] is not None, "the lab says that a service has died"
    assert row["loads"] >= len(MONTHS) - 1, row
