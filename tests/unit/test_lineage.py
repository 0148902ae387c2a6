"""How lineage names things, and what the tests' own reader of events accepts."""

from __future__ import annotations

import copy
import uuid
from pathlib import Path
from typing import Any

import pytest

from core import lineage
from core.extract import Extracted
from core.lineage.steps import run_uuid
from tests.lineage import graph, unfinished, validated


@pytest.mark.parametrize(
    ("address", "namespace", "name"),
    [
        ("/data/green/green_tripdata_2024-01.parquet", "file", "/data/green/green_tripdata_2024-01.parquet"),
        ("https://host.org/trip-data/g.parquet", "https://host.org", "trip-data/g.parquet"),
        ("s3://bucket/green/g.parquet", "s3://bucket", "green/g.parquet"),
        ("gs://bucket/g.parquet", "gs://bucket", "g.parquet"),
    ],
)
def test_a_file_is_named_by_its_place(address: str, namespace: str, name: str) -> None:
    found = lineage.file(Extracted(Path("kept"), "g.parquet", "ab" * 32, 7, address))
    assert (found.namespace, found.name, found.version, found.bytes) == (namespace, name, "ab" * 32, 7)


def test_a_run_id_becomes_a_uuid_that_stays() -> None:
    ours = "8b1a5a55-9c9d-4f4c-9c31-2b1c0d0e0f10"
    assert run_uuid("dagster", ours) == ours
    other = run_uuid("airflow", "backfill__2024-01")
    assert other == run_uuid("airflow", "backfill__2024-01") != run_uuid("airflow", "backfill__2024-02")
    assert uuid.UUID(other).version == 5


def event(**changes: Any) -> dict[str, Any]:
    """Return a valid event, with some fields replaced."""
    base = "https://openlineage.io/spec/facets/1-0-1/NominalTimeRunFacet.json#/$defs/NominalTimeRunFacet"
    nominal = {"_producer": "urn:test", "_schemaURL": base, "nominalStartTime": "2024-01-01T00:00:00Z"}
    return {
        "eventType": "START",
        "eventTime": "2026-01-01T00:00:00+00:00",
        "run": {"runId": str(uuid.uuid4()), "facets": {"nominalTime": nominal}},
        "job": {"namespace": "n", "name": "airflow.pipeline.step"},
        "inputs": [{"namespace": "file", "name": "/data/green_tripdata_2024-01.parquet"}],
        "outputs": [{"namespace": "postgres://h:1", "name": "db.schema.raw_trips"}],
        "producer": "urn:test",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    } | changes


def test_a_valid_event_is_accepted_and_drawn() -> None:
    validated(event())
    found = graph([event()])
    assert found.edges == {"green_tripdata_{month}.parquet -> pipeline.step", "pipeline.step -> raw_trips"}
    assert found.states == {("pipeline.step", "2024-01"): {"START": 1}}


@pytest.mark.parametrize(
    "changes",
    [
        {"eventTime": "yesterday"},
        {"eventType": "STARTED"},
        {"run": {"runId": "7"}},
        {"run": {}},
        {"job": {"namespace": "n", "name": 7}},
        {"inputs": [{"name": "no namespace"}]},
        {"unheard": "of"},
    ],
    ids=str,
)
def test_an_event_that_breaks_a_rule_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        validated(event(**changes))


def test_a_facet_with_a_field_that_its_schema_lacks_is_refused() -> None:
    changed = copy.deepcopy(event())
    changed["run"]["facets"]["nominalTime"]["nominalMonth"] = "2024-01"
    with pytest.raises(ValueError, match="nominalMonth"):
        validated(changed)


def test_a_run_has_one_start_and_one_end() -> None:
    start = event()
    end = {**start, "eventType": "COMPLETE"}
    assert unfinished([start, end]) == {}
    assert unfinished([start]) == {"airflow.pipeline.step": ["START"]}
    assert unfinished([start, end, end]) == {"airflow.pipeline.step": ["START", "COMPLETE", "COMPLETE"]}
