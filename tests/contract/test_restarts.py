"""What restarts in the middle of a backfill: the database of the warehouse and of the tools, and a tool's API server.

The lab starts again what died of it. The runner bears with a tool that does not answer for that time.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest

from core.lab.postgres import Postgres
from core.lab.protocol import BackfillResult
from core.lab.registry import orchestrators
from core.waiting import until
from tests.contract.bench import MONTHS, Bench, Schema

pytestmark = pytest.mark.slow


API = {"airflow": "api-server", "dagster": "webserver", "prefect": "server"}
"""The service that each tool's runner talks to."""


@pytest.fixture
def prepared(bench: Bench, orchestrator: str) -> Schema:
    """A schema with a ledger, and the tool's services up."""
    schema = bench.schema()
    bench.backfill("plain", MONTHS[:1], bench.folder, schema)
    bench.backfill(orchestrator, MONTHS[:1], bench.folder, bench.schema())
    return schema


def all_landed(bench: Bench, schema: Schema, result: BackfillResult) -> None:
    """Check that every month is recorded as loaded, and that the tables are the golden ones."""
    assert result.status == "success", [month.error for month in result.months]
    assert [month.month for month in result.months if month.attempts < 1 or not month.rows] == []
    assert bench.tables(schema) == bench.golden(bench.folder, MONTHS)


def test_postgresql_restarts_in_the_middle_of_a_backfill(bench: Bench, orchestrator: str, prepared: Schema) -> None:
    server = Postgres(bench.lab.settings.home / "postgres", bench.lab.settings.pg_bin)
    with ThreadPoolExecutor(1) as pool:
        # the lock goes with the server, and our connection to it
        with suppress(psycopg.OperationalError), bench.held_before_publishing(prepared) as held:
            running = pool.submit(bench.backfill, orchestrator, MONTHS[1:], bench.folder, prepared)
            until(lambda: any(map(held.waiting, MONTHS[1:])) or None, 240, 0.05, "a load in its middle")
            server.stop()
            server.start()
        result = running.result()
    all_landed(bench, prepared, result)


def test_the_api_server_restarts_in_the_middle_of_a_backfill(bench: Bench, orchestrator: str, prepared: Schema) -> None:
    if orchestrator not in API:
        pytest.skip("it has no services")
    services = bench.lab.stack(orchestrators(bench.lab.settings)[orchestrator]).start()
    (api,) = [each for each in services.processes if each.name == API[orchestrator]]
    with ThreadPoolExecutor(1) as pool:
        with bench.held_before_publishing(prepared) as held:
            running = pool.submit(bench.backfill, orchestrator, MONTHS[1:], bench.folder, prepared)
            until(lambda: any(map(held.waiting, MONTHS[1:])) or None, 240, 0.05, "a load in its middle")
            os.kill(api.pid, signal.SIGKILL)
        result = running.result()
    all_landed(bench, prepared, result)
