"""Services that another lab started, driven from a state folder of one's own by their address alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.lab import processes
from core.lab.history import history
from core.lab.protocol import BackfillRequest
from core.lab.registry import orchestrators
from core.lab.running import Running
from core.lab.session import Lab
from core.lab.state import end_all
from tests.contract.bench import MONTHS, Bench


@pytest.mark.without_baseline
def test_services_that_were_not_started_here_make_the_same_tables(
    bench: Bench, orchestrator: str, tmp_path: Path
) -> None:
    chosen, schema, months = orchestrators(bench.lab.settings)[orchestrator], bench.schema(), MONTHS[:3]
    url = bench.lab.start([chosen])[orchestrator].web
    assert url
    elsewhere = replace(
        bench.lab.settings, home=tmp_path / "elsewhere", dsn=bench.lab.dsn, endpoints={orchestrator: url}
    )
    with Lab(elsewhere) as lab:
        result = lab.backfill(chosen, BackfillRequest(list(months), str(bench.folder), schema, jobs=2))
        assert [(month.month, month.state) for month in result.months] == [(month, "success") for month in months]
        assert processes.members(elsewhere.home) == []
    assert bench.tables(schema) == bench.baseline(bench.folder, months)
    assert len(history(elsewhere, [chosen], None, 3).runs) == 3
    assert end_all(elsewhere) == [f"{orchestrator}: {url} was not started here, and goes on"]
    running = Running.read(bench.lab.settings.home / orchestrator / "services.json")
    assert running and running.processes and not running.dead
