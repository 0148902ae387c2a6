"""One database for all tests of this folder, emptied after each: to create and drop one takes half a second.

And a state folder for the tests of the lab, with orchestrators of a few lines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from core.extract import sample
from core.lab import processes
from core.lab.state import end_all
from core.lab.warm_dbt import WarmDbt
from core.settings import Settings, settings
from core.transform import dbt
from core.waiting import until
from tests.integration import loading
from tests.integration.fake_orchestrators import MakeOrchestrator, make_orchestrator
from tests.integration.loading import MONTH, OTHER
from tests.integration.marts import Publisher

TOY = Path(__file__).resolve().parents[1] / "toy_impl"


@pytest.fixture(scope="session")
def database(postgres: str) -> Iterator[str]:
    """The DSN of a database of our own."""
    # Two sessions may share a server.
    name = f"test_integration_{os.getpid()}"
    quoted = sql.Identifier(name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(quoted))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(quoted))
        parts = psycopg.conninfo.conninfo_to_dict(postgres)
        yield f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted))


@pytest.fixture
def warehouse(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the DSN of an empty database, which `core.settings` names too, with a state folder of its own."""
    monkeypatch.setenv("TRIPTYCH_DSN", database)
    monkeypatch.setenv("TRIPTYCH_HOME", str(tmp_path / "state"))
    settings.cache_clear()
    yield database
    # Including what the test itself has set: undone later, it would restore our values.
    monkeypatch.undo()
    settings.cache_clear()
    with psycopg.connect(database, autocommit=True) as connection:
        _empty(connection)


def _empty(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """End what a failed test left connected, then take its schemas and its settings away."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(connection.info.dbname)))
    query = (
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')"
    )
    for (name,) in connection.execute(query).fetchall():
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(str(name))))


@pytest.fixture
def folder(tmp_path: Path, warehouse: str) -> Path:
    """Two months and the lookup, not loaded yet."""
    published = tmp_path / "published"
    sample.write_zones(published / sample.ZONES)
    for month in (MONTH, OTHER):
        loading.write(published, month)
    return published


@pytest.fixture
def publisher(warehouse: str, tmp_path: Path) -> Publisher:
    folder = tmp_path / "published"
    folder.mkdir()
    return Publisher(folder)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a warm dbt that all tests may use."""
    warm = WarmDbt(replace(settings(), home=tmp_path_factory.mktemp("warm")))
    warm.start()
    # From then on a call waits until the server is warm; before, it would start cold.
    until(lambda: next(warm.folder.glob("*.sock"), None), 120, 0.02, "the socket of the warm dbt")
    yield warm.folder
    assert warm.end() > 0


@pytest.fixture
def warm_dbt(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the warm server run every dbt command; fail a test where it does not."""
    (socket,) = server.glob("*.sock")

    def run(command: dbt.Command) -> dbt.Completed:
        return dbt.run_warm(command, socket) or pytest.fail("a cold start")

    monkeypatch.setattr(dbt, "run", run)


@pytest.fixture
def state(tmp_path: Path, postgres: str) -> Iterator[Settings]:
    """A state folder with a space in its path. Nothing may be left running in it."""
    home = tmp_path / "the state"
    yield replace(
        Settings.read({}),
        home=home,
        dsn=postgres,
        dbt=home / "none",
        impls=(TOY,),
        passed_on={"HTTP_PROXY": "http://proxy.invalid:1"},
    )
    end_all(replace(Settings.read({}), home=home, dsn=postgres))
    assert processes.members(home) == []
    with psycopg.connect(postgres, autocommit=True) as connection:
        for (name,) in connection.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE 'triptych\\_fake\\_%'"
        ).fetchall():
            connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


@pytest.fixture
def orchestrator(tmp_path: Path) -> MakeOrchestrator:
    """Make an orchestrator for this test."""
    return lambda name="fake", **how: make_orchestrator(tmp_path, name, **how)
