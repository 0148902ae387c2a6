"""A service that is killed during a backfill: the lab reports it and starts it again, and all months land."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.lab.registry import orchestrators
from core.lab.running import Running
from core.waiting import until
from tests.contract.bench import MONTHS, Bench

pytestmark = pytest.mark.slow

NUMBER = int(os.environ.get("TRIPTYCH_TEST_SERVICE", "-1"))
"""Which service is killed, in the order in which they start: the last one, unless the variable names another."""


@pytest.mark.capability("services")
def test_a_killed_service_is_restarted_and_every_month_lands(bench: Bench, orchestrator: str) -> None:
    schema = bench.schema()
    bench.backfill("plain", MONTHS[:1], bench.folder, schema)
    # Its services must be up before one of them is killed.
    bench.lab.start([orchestrators(bench.lab.settings)[orchestrator]])
    record = bench.lab.settings.home / orchestrator / "services.json"
    before = Running.read(record)
    assert before and before.processes
    victim = before.processes[NUMBER]
    with ThreadPoolExecutor(1) as pool:
        with bench.held_before_publishing(schema) as held:
            running = pool.submit(bench.backfill, orchestrator, MONTHS[1:], bench.folder, schema)
            until(lambda: any(map(held.waiting, MONTHS[1:])) or None, 240, 0.05, "a load to be under way")
            os.kill(victim.pid, signal.SIGKILL)
            killed = time.monotonic()
            until(lambda: back(record, victim.pid), 120, 0.1, f"{victim.name}, restarted")
            print(f"{victim.name} restarted after {time.monotonic() - killed:.1f} s")
        result = running.result()
    assert result.status == "success", [month.error for month in result.months]
    assert any(f"{orchestrator}: {victim.name} was killed by signal 9; see " in note for note in result.notes), (
        result.notes
    )
    assert bench.tables(schema) == bench.baseline(bench.folder, MONTHS)
    after = Running.read(record)
    assert after and after.ports == before.ports
    others = [each for each in before.processes if each != victim]
    assert [each for each in others if each not in after.processes] == [], "the others must be left alone"


def back(record: Path, pid: int) -> bool | None:
    """Return True once all services run, and the one that was `pid` is another process."""
    found = Running.read(record)
    return (found is not None and not found.dead and pid not in [each.pid for each in found.processes]) or None
