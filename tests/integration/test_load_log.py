"""A step's log says why a file is loaded, or is not, and what was published."""

from __future__ import annotations

import logging
import re
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from core import load
from core.run import STRATEGIES
from core.settings import settings
from core.waiting import until
from tests.integration.loading import (
    MONTH,
    WAIT_S,
    attempt,
    attempt_zones,
    connect,
    order,
    running,
    waiting,
    write,
)
from tests.logged import lines

NAME = "green_tripdata_2024-01.parquet"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "core.load")
    return caplog


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_load_says_why_and_how_and_what_it_published(
    tmp_path: Path, warehouse: str, log: pytest.LogCaptureFixture, strategy: str
) -> None:
    rows = write(tmp_path)
    entry = attempt(tmp_path, strategy=strategy).entry
    before, after = lines(log, "core.load")
    assert before == f"loading {NAME} by {strategy}: nothing is loaded yet"
    assert re.fullmatch(rf"published {rows} rows of {NAME} in \d+\.\d\d s, digest {entry.content_digest}", after)


def test_each_reason_to_load_a_month_again_is_told(
    tmp_path: Path, warehouse: str, log: pytest.LogCaptureFixture
) -> None:
    rows = write(tmp_path)
    first = attempt(tmp_path).entry
    lines(log, "core.load")

    def reason(*, force: bool = False) -> str:
        attempt(tmp_path, force=force)
        return lines(log, "core.load")[0].removeprefix(f"loading {NAME} by swap: ")

    assert reason(force=True) == "force is set"
    with connect(warehouse) as connection:
        connection.execute("DELETE FROM plain.raw_trips WHERE row_number = 1")
        assert reason() == f"the ledger has {rows} rows, the table {rows - 1}"
        connection.execute("DROP TABLE plain.raw_trips_2024_01")
        assert reason() == "the ledger has it, but raw_trips_2024_01 is missing"
    write(tmp_path, seed=2)
    assert reason() == f"the ledger has other bytes, sha256 {first.source_sha256}"


def test_unchanged_and_superseded_files_are_told_apart(
    tmp_path: Path, warehouse: str, log: pytest.LogCaptureFixture
) -> None:
    write(tmp_path)
    late = order(tmp_path)
    attempt(tmp_path, loader="dagster")
    lines(log, "core.load")
    attempt(tmp_path)
    (line,) = lines(log, "core.load")
    assert re.fullmatch(r"unchanged: dagster loaded the same bytes \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .+\)", line)
    load.load(late)
    assert lines(log, "core.load") == ["superseded: dagster published the same bytes after this attempt began"]


def test_a_lookup_is_replaced(folder: Path, warehouse: str, log: pytest.LogCaptureFixture) -> None:
    attempt_zones(folder, strategy="upsert")
    before, after = lines(log, "core.load")
    assert before == "loading taxi_zone_lookup.csv by replace: nothing is loaded yet"
    assert after.startswith("published 265 rows of taxi_zone_lookup.csv in ")


def test_a_swap_that_waits_for_a_reader_says_so_once(
    tmp_path: Path, warehouse: str, log: pytest.LogCaptureFixture
) -> None:
    write(tmp_path)
    attempt(tmp_path)
    write(tmp_path, MONTH, seed=2)
    lines(log, "core.load")
    reader = connect(warehouse)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM plain.raw_trips")
    with running(partial(attempt, tmp_path)) as (swap,), closing(reader):
        until(lambda: "is in use" in log.text or None, WAIT_S, 0.05, "a line on the reader")
        waiting(warehouse)
        reader.execute("COMMIT")
        assert swap.result(WAIT_S).state == "success"
    _, locked, _ = lines(log, "core.load")
    assert locked == f"raw_trips is in use: trying for up to {settings().lock_wait_s:g} s to lock it"
