"""What `triptych history` tells of a month: each load in the ledger, with the run that made it and that run's page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from urllib.parse import unquote

import httpx
import pytest

from core import ledger
from core.lab import loads
from core.lab.loads import Load, Loads
from core.lab.registry import orchestrators
from core.lab.runs import Runs
from tests.contract.bench import MONTHS, Bench, Schema

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PIPELINE = "taxi_pipeline"
FIRST, SECOND, NEVER = MONTHS[:3]


def history(bench: Bench, orchestrator: str, schema: Schema, months: Sequence[str]) -> Loads:
    """Return the history of these months in a schema."""
    known = orchestrators(bench.lab.settings)
    with bench.connect() as connection:
        every = loads.read(connection, ledger.schemas(connection)[0])
    chosen = [load for load in every if load.schema == schema and load.month in months]
    return loads.joined(bench.lab.settings, chosen, every, months, known, [orchestrator])


def agrees(load: Load) -> bool:
    """Return whether the step of the run returned what the ledger has, and the load lies within the run."""
    assert load.run and load.run.started_at and load.run.ended_at and load.step and load.entry.loaded_at, load
    began, ended = (dt.datetime.fromisoformat(text) for text in (load.run.started_at, load.run.ended_at))
    returned = load.step.returned
    return (load.run.orchestrator, load.run.run_id, returned["digest"], returned["rows"]) == (
        load.entry.loader, load.entry.run_id, load.entry.content_digest, load.entry.row_count,
    ) and began <= load.entry.loaded_at <= ended  # fmt: skip


def answers(load: Load) -> bool:
    """Return whether the run's page answers, and its address names the run."""
    assert load.run and load.run.url
    # Prefect's server has a page only for a browser.
    browser = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    page = httpx.get(load.run.url, headers=browser, trust_env=False, follow_redirects=True, timeout=60)
    return page.is_success and load.run.run_id in unquote(load.run.url)


def test_each_load_is_told_with_its_run_and_the_runs_page(bench: Bench, orchestrator: str) -> None:
    runs = Runs(bench.lab, orchestrators(bench.lab.settings)[orchestrator])
    schema, folder = bench.schema(), bench.copy_of(bench.folder)
    assert bench.backfill(orchestrator, [FIRST, SECOND], folder, schema).status == "success"
    bench.replace(folder, FIRST)
    again, idle = (runs.start(PIPELINE, {"source": str(folder), "schema": schema}, month) for month in (FIRST, SECOND))
    assert [runs.observe(PIPELINE, run_id, wait_s=None).state for run_id in (again, idle)] == ["success"] * 2
    found = history(bench, orchestrator, schema, [FIRST, SECOND, NEVER])
    assert [
        (load.month, load.is_current, load.run and (load.run.state, load.run.cause), load.step and load.step.attempts)
        for load in found.loads
    ] == [
        (FIRST, False, ("success", "backfill"), 1),
        (FIRST, True, ("success", "manual"), 1),
        (SECOND, True, ("success", "backfill"), 1),
    ]
    assert all(map(agrees, found.loads))
    assert found.loads[1].entry.run_id == again
    assert (found.missing, found.failed) == ([NEVER], [])
    told = [run.run_id for run in found.idle]
    assert idle in told and not {load.entry.run_id for load in found.loads} & set(told)
    if "web" in bench.description(orchestrator).capabilities:
        assert all(map(answers, found.loads))
    runs.delete(PIPELINE, again)
    one = history(bench, orchestrator, schema, [FIRST]).loads[1]
    assert (one.entry.run_id, one.run, one.unknown) == (again, None, loads.GONE)


@pytest.mark.without_baseline
def test_each_month_of_one_run_for_all_is_told_with_that_run(bench: Bench, orchestrator: str) -> None:
    schema = bench.schema()
    assert bench.backfill(orchestrator, [FIRST, SECOND], bench.folder, schema, mode="one-run").status == "success"
    found = history(bench, orchestrator, schema, [FIRST, SECOND])
    assert [(load.month, load.run and load.run.pipeline) for load in found.loads] == [
        (FIRST, "taxi_range"),
        (SECOND, "taxi_range"),
    ]
    assert all(map(agrees, found.loads))
    assert len({load.entry.run_id for load in found.loads}) == 1
