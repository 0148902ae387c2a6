"""Restarts during a backfill: of PostgreSQL, with the warehouse and all records, and of an API server.

The lab starts again the services that die with it. The runner repeats its calls while an orchestrator does not answer.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from core.lab.postgres import Postgres
from core.lab.protocol import BackfillResult
from core.lab.registry import orchestrators
from core.lab.running import Running
from core.waiting import until
from tests.contract.bench import MONTHS, Bench, Schema

pytestmark = pytest.mark.slow


@pytest.fixture
def prepared(bench: Bench, orchestrator: str) -> Schema:
    """A schema with a ledger, and the orchestrator's services up."""
    schema = bench.schema()
    bench.backfill("plain", MONTHS[:1], bench.folder, schema)
    bench.lab.start([orchestrators(bench.lab.settings)[orchestrator]])
    return schema


def all_landed(bench: Bench, schema: Schema, result: BackfillResult) -> None:
    """Check that every month is recorded as loaded, and that the tables are the baseline's."""
    assert result.status == "success", [month.error for month in result.months]
    assert [month.month for month in result.months if month.attempts < 1 or not month.rows] == []
    assert bench.tables(schema) == bench.baseline(bench.folder, MONTHS)


def test_postgresql_restarts_in_the_middle_of_a_backfill(bench: Bench, orchestrator: str, prepared: Schema) -> None:
    server = Postgres(bench.lab.settings.home / "postgres", bench.lab.settings.pg_bin)
    with ThreadPoolExecutor(1) as pool:
        # Our connection, with its lock, ends with the server.
        with suppress(psycopg.OperationalError), bench.held_before_publishing(prepared) as held:
            running = pool.submit(bench.backfill, orchestrator, MONTHS[1:], bench.folder, prepared)
            until(lambda: any(map(held.waiting, MONTHS[1:])) or None, 240, 0.05, "a load to be under way")
            server.stop()
            server.start()
        result = running.result()
    all_landed(bench, prepared, result)


@pytest.mark.capability("web")
def test_the_api_server_restarts_in_the_middle_of_a_backfill(bench: Bench, orchestrator: str, prepared: Schema) -> None:
    api = api_server(bench.lab.stack(orchestrators(bench.lab.settings)[orchestrator]).start())
    with ThreadPoolExecutor(1) as pool:
        with bench.held_before_publishing(prepared) as held:
            running = pool.submit(bench.backfill, orchestrator, MONTHS[1:], bench.folder, prepared)
            until(lambda: any(map(held.waiting, MONTHS[1:])) or None, 240, 0.05, "a load to be under way")
            os.kill(api, signal.SIGKILL)
        result = running.result()
    all_landed(bench, prepared, result)


def api_server(services: Running) -> int:
    """Return the process of the service that the runner talks to: the one that serves the web page."""
    assert services.web
    port = urlsplit(services.web).port
    listeners = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.laddr and each.laddr.port == port and each.status == "LISTEN"
    }
    (service,) = [each.pid for each in services.processes if listeners & family(each.pid)]
    return service


def family(pid: int) -> set[int | None]:
    """Return a process and all its descendants."""
    return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
