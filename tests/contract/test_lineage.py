"""The lineage events of a backfill: the same graph from every orchestrator, each event valid, each run with its end."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from core.lab.registry import BASELINE
from core.lineage.steps import run_uuid
from tests.contract.bench import MONTHS, opened
from tests.lineage import GOLDEN, STEPS, Collector, graph, month_of, unfinished, validated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CHOSEN = MONTHS[:3]


def test_a_backfill_tells_the_golden_graph(orchestrator: str, tmp_path: Path) -> None:
    # A lab of its own: the services take the endpoint from the environment that they start with.
    with Collector() as collector, opened(tmp_path, variables=collector.variables) as bench:
        assert bench.backfill(BASELINE, CHOSEN, bench.folder, "golden").status == "success"
        golden = graph(collector.taken())
        schema = bench.schema()
        assert bench.backfill(orchestrator, CHOSEN, bench.folder, schema).status == "success"
        events, ledger = collector.taken(), bench.ledger(schema)
    for event in events:
        validated(event)
    assert unfinished(events) == {}
    found = graph(events)
    assert found.edges == golden.edges == GOLDEN
    assert found == golden
    once = {"START": 1, "COMPLETE": 1}
    ended = {(f"taxi_pipeline.{step}", month): once for step in STEPS for month in CHOSEN}
    assert found.states == ended | {("taxi_pipeline.ingest_zones", None): {"START": 3, "COMPLETE": 3}}
    assert {month: found.rows["raw_trips", month] for month in CHOSEN} == {
        month: entry.row_count for month, entry in ledger.items()
    }
    assert {month: found.versions["raw_trips", month] for month in CHOSEN} == {
        month: {entry.content_digest} for month, entry in ledger.items()
    }
    parents = Counter(
        (month_of(event), event["run"]["facets"]["parent"]["root"]["run"]["runId"])
        for event in events
        if event["job"]["name"].endswith(".ingest_month")
    )
    assert parents == {(month, run_uuid(entry.loader, entry.run_id)): 2 for month, entry in ledger.items()}
