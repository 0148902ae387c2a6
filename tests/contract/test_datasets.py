"""Every dataset goes through every orchestrator: the dataset is a parameter of the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.extract import sample
from core.lab.registry import BASELINE
from core.month import Month
from tests.contract.bench import ROWS, Bench

MONTH = "2024-01"


@pytest.fixture
def published(bench: Bench) -> Path:
    """A yellow month, and the green one of the same name."""
    folder = bench.work / "datasets"
    for cab in ("green", "yellow"):
        sample.ensure(folder, [Month.parse(MONTH)], rows=ROWS, cab=cab)
    return folder


def test_a_yellow_month_is_loaded_as_the_baseline_loads_it(bench: Bench, orchestrator: str, published: Path) -> None:
    mine, baselines = bench.schema(), bench.schema()
    result = bench.backfill(orchestrator, [MONTH], published, mine, dataset="yellow")
    assert [(month.state, month.error) for month in result.months] == [("success", None)]
    bench.backfill(BASELINE, [MONTH], published, baselines, dataset="yellow")
    assert bench.tables(mine) == bench.tables(baselines)
    assert {entry.dataset for entry in bench.ledger(mine).values()} == {"yellow"}

    again = bench.backfill(orchestrator, [MONTH], published, mine, dataset="yellow")
    assert [month.state for month in again.months] == ["unchanged"]

    refused = bench.backfill(orchestrator, [MONTH], published, mine)
    assert [month.state for month in refused.months] == ["failed"]
    assert f"schema '{mine}' holds yellow" in str(refused.months[0].error)
    assert bench.tables(mine) == bench.tables(baselines)
