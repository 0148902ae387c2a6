"""A slice of `tests.faults.readers`: what readers see of the marts while two orchestrators build the same months."""

from __future__ import annotations

import pytest

from core.lab.registry import orchestrators
from tests.contract.bench import Bench, orchestrator_names
from tests.faults.readers import Publisher, run

SECONDS = 20.0


@pytest.mark.parametrize("names", [orchestrator_names()[:2]], ids="-".join)
def test_no_reader_sees_an_empty_partial_or_contradicting_mart(bench: Bench, names: list[str]) -> None:
    (bench.work / "readers").mkdir()
    two = [orchestrators(bench.lab.settings)[name] for name in names]
    schema = "readers_beside_two_orchestrators"
    seen = run(bench.lab, two, Publisher(bench.work / "readers", 400, 7), schema, SECONDS, print)
    assert seen.wrong == []
    assert seen.outlived > 0, "some snapshot must be older than a publication"
    assert all(seen.looks[kind] > 0 for kind in ("one_statement", "one_copy", "one_snapshot"))
