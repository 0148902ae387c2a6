"""Fixtures for every suite. Orchestrators' environments load it too, so fixtures import the lab themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def no_variable_is_left() -> Iterator[None]:
    """What one test leaves in the environment would quietly point the next ones at its server."""
    before = {name: value for name, value in os.environ.items() if name.startswith("TRIPTYCH_")}
    yield
    assert {name: value for name, value in os.environ.items() if name.startswith("TRIPTYCH_")} == before


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The DSN of a server for the session: TRIPTYCH_TEST_DSN, or an embedded one of our own."""
    if dsn := os.environ.get("TRIPTYCH_TEST_DSN"):
        yield dsn
        return
    from core.lab.postgres import Postgres
    from core.lab.signals import interruptible

    server = Postgres(tmp_path_factory.mktemp("postgres") / "postgres")
    # Otherwise a SIGTERM, of `timeout` or of a canceled CI run, would leave it running.
    with interruptible():
        try:
            yield server.start()
        finally:
            server.wipe()


@pytest.fixture
def dsn(postgres: str) -> Iterator[str]:
    """The DSN of an empty database, dropped when the test has ended."""
    from psycopg import connect, sql
    from psycopg.conninfo import conninfo_to_dict

    name = f"test_{uuid4().hex[:12]}"
    with connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            parts = conninfo_to_dict(postgres)
            yield f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{name}"
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def warehouse(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the DSN of an empty database, which `core.settings` names too, with a state folder of its own."""
    from core.settings import settings

    monkeypatch.setenv("TRIPTYCH_DSN", dsn)
    monkeypatch.setenv("TRIPTYCH_HOME", str(tmp_path / "state"))
    settings.cache_clear()
    yield dsn
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real TLC files beside the checkout. A user's clone has none: the test is skipped, with a reason."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real files at {REAL_DATA}: everything is covered by generated ones as well")
    return REAL_DATA
