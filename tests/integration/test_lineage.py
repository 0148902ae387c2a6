"""Lineage events of single steps: what they tell, when, and that nothing fails or waits because of them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from core import lineage, pipeline
from core.errors import BadFile, CheckFailed
from core.run import Run
from core.settings import ROOT, settings
from core.waiting import until
from tests.integration.loading import MONTH, held, waiting
from tests.integration.marts import Publisher
from tests.lineage import Collector, Event, validated

pytestmark = pytest.mark.usefixtures("warehouse")


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch, warehouse: str) -> Iterator[Collector]:
    with Collector() as collector:
        configure(monkeypatch, **collector.variables)
        yield collector


def configure(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    (tmp_path / "published").mkdir()
    publisher = Publisher(tmp_path / "published")
    publisher.publish(str(MONTH), [{}, {}, {}])
    return publisher


def run_of(publisher: Publisher, **more: Any) -> Run:
    return Run(source=str(publisher.folder), schema="plain", loader="test", run_id="run 7", **more)


def told(collector: Collector) -> list[Event]:
    events = collector.taken()
    for event in events:
        validated(event)
    return events


def states(events: list[Event]) -> list[str]:
    return [event["eventType"] for event in events]


def test_a_load_tells_its_file_and_its_table(collector: Collector, publisher: Publisher) -> None:
    receipt = pipeline.ingest_month(run_of(publisher), MONTH)
    start, end = told(collector)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"]
    assert end["job"]["name"] == "test.taxi_pipeline.ingest_month"
    (file,), (table,) = end["inputs"], end["outputs"]
    assert (file["namespace"], file["name"]) == ("file", str(publisher.folder / f"green_tripdata_{MONTH}.parquet"))
    assert file["facets"]["version"]["datasetVersion"] == receipt.source_sha256
    assert table["namespace"].startswith("postgres://127.0.0.1:")
    assert table["name"].endswith(".plain.raw_trips")
    assert table["facets"]["version"]["datasetVersion"] == receipt.digest
    assert table["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert [column["name"] for column in table["facets"]["schema"]["fields"]][:2] == ["source_month", "row_number"]
    assert end["run"]["facets"]["triptych_run"]["run_id"] == "run 7"


def test_a_load_that_finds_the_same_bytes_writes_no_rows(collector: Collector, publisher: Publisher) -> None:
    pipeline.ingest_month(run_of(publisher), MONTH)
    collector.taken()
    assert pipeline.ingest_month(run_of(publisher), MONTH).state == "unchanged"
    (table,) = told(collector)[1]["outputs"]
    assert table["outputFacets"] == {}


def test_a_load_that_fails_tells_why_and_names_no_table(collector: Collector, publisher: Publisher) -> None:
    (publisher.folder / f"green_tripdata_{MONTH}.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(BadFile) as failed:
        pipeline.ingest_month(run_of(publisher), MONTH)
    start, end = told(collector)
    assert (start["eventType"], end["eventType"], end["outputs"]) == ("START", "FAIL", [])
    assert end["run"]["facets"]["errorMessage"]["message"] == str(failed.value)


def test_the_end_of_a_load_is_told_after_its_commit(collector: Collector, publisher: Publisher, warehouse: str) -> None:
    pipeline.ingest_month(run_of(publisher), MONTH)
    collector.taken()
    events: list[Event] = []

    def begun() -> list[Event] | None:
        events.extend(told(collector))
        return events or None

    # The lock ends first, so that the load can
    with ThreadPoolExecutor(1) as pool, held(warehouse):
        load = pool.submit(pipeline.ingest_month, run_of(publisher, force=True), MONTH)
        waiting(warehouse)
        until(begun, 30, 0.02, "the START of a load that waits")
        assert states(events) == ["START"]
    assert load.result().state == "success"
    assert states(told(collector)) == ["COMPLETE"]


@pytest.mark.slow
@pytest.mark.usefixtures("warm_dbt")
def test_a_check_that_fails_tells_which_tests_did(collector: Collector, publisher: Publisher) -> None:
    publisher.publish(str(MONTH), [{}, {"PULocationID": 199}])
    run = run_of(publisher)
    pipeline.ingest_zones(run)
    pipeline.ingest_month(run, MONTH)
    pipeline.transform(run, MONTH)
    collector.taken()
    with pytest.raises(CheckFailed):
        pipeline.check(run, MONTH)
    _, end = told(collector)
    assert end["eventType"] == "FAIL"
    failed = {
        test["assertion"]
        for dataset in end["inputs"]
        for test in dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
        if not test["success"]
    }
    assert "pickup_zone_is_known" in failed


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("core.lineage")]


def test_an_endpoint_that_is_down_costs_a_warning(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Collector() as gone:
        pass
    configure(monkeypatch, OPENLINEAGE_URL=gone.url, TRIPTYCH_LINEAGE_S="60")
    with caplog.at_level(logging.WARNING):
        assert pipeline.ingest_month(run_of(publisher), MONTH).state == "success"
    (line,) = warnings(caplog)
    assert "an event was not sent" in line


def test_an_endpoint_that_refuses_costs_a_warning(
    collector: Collector, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 500
    with caplog.at_level(logging.WARNING):
        assert pipeline.ingest_month(run_of(publisher), MONTH).state == "success"
    (line,) = warnings(caplog)
    assert "500" in line


def test_an_endpoint_that_never_answers_holds_up_a_step_for_a_moment_only(
    collector: Collector, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    collector.answers.clear()
    configure(monkeypatch, TRIPTYCH_LINEAGE_S="0.2")
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert pipeline.ingest_month(run_of(publisher), MONTH).state == "success"
    # The collector would answer after 60 s
    assert time.monotonic() - began < 30
    assert len(warnings(caplog)) == 1


def test_a_transport_that_does_not_exist_costs_a_warning(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    configure(monkeypatch, OPENLINEAGE__TRANSPORT__TYPE="nonsense", TRIPTYCH_LINEAGE_S="60")
    with caplog.at_level(logging.WARNING):
        assert pipeline.ingest_month(run_of(publisher), MONTH).state == "success"
    assert len(warnings(caplog)) == 1


def test_events_may_go_to_a_file(publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    transport = {"TYPE": "file", "LOG_FILE_PATH": str(path), "APPEND": "true"}
    variables = {f"OPENLINEAGE__TRANSPORT__{name}": value for name, value in transport.items()}
    configure(monkeypatch, TRIPTYCH_LINEAGE_S="60", **variables)
    pipeline.ingest_month(run_of(publisher), MONTH)
    assert len(path.read_text().splitlines()) == 2


def test_who_asks_for_no_events_does_not_import_the_client(publisher: Publisher) -> None:
    code = (
        "import sys; from core import pipeline; from core.month import Month; from core.run import Run;"
        "pipeline.ingest_month(Run(source=sys.argv[1], schema='plain', loader='test'), Month.parse(sys.argv[2]));"
        "print('openlineage.client' in sys.modules)"
    )
    words = [sys.executable, "-c", code, str(publisher.folder), str(MONTH)]
    assert subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_client_leaves_the_environment_as_it_is(collector: Collector, publisher: Publisher) -> None:
    before = dict(os.environ)
    pipeline.ingest_month(run_of(publisher), MONTH)
    assert states(told(collector)) == ["START", "COMPLETE"]
    assert dict(os.environ) == before


def test_a_step_that_is_interrupted_is_told_as_aborted(collector: Collector, publisher: Publisher) -> None:
    with pytest.raises(KeyboardInterrupt), lineage.step(run_of(publisher), "ingest_month", MONTH):
        raise KeyboardInterrupt
    assert states(told(collector)) == ["START", "ABORT"]


def test_a_cause_is_told_without_passwords(collector: Collector, publisher: Publisher) -> None:
    with pytest.raises(ValueError, match="s3cret"), lineage.step(run_of(publisher), "ingest_month", MONTH):
        raise ValueError("no server at postgresql://user:s3cret@host/db")
    _, end = told(collector)
    assert end["run"]["facets"]["errorMessage"]["message"] == "no server at postgresql://user:***@host/db"
