"""The troubles that the drills make: a server has each as long as its block is executed, and not a moment longer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from core.lab.postgres import Postgres
from core.settings import state_folder
from tests.faults.database.__main__ import place
from tests.faults.database.address import at_socket, moved
from tests.faults.database.drill import Place
from tests.faults.database.restore import copied
from tests.faults.database.troubles import FUNCTION, a_disk_that_may_fill, end_sessions, full, no_connection_free

pytestmark = pytest.mark.slow


@pytest.fixture
def small(tmp_path: Path) -> Iterator[str]:
    """The DSN of a server of our own with ten connections: it may refuse them to everybody."""
    options = {"max_connections": "10", "autovacuum_worker_slots": "1", "max_worker_processes": "1"}
    server = Postgres(state_folder(tmp_path / "state") / "postgres", options=options)
    try:
        yield server.start()
    finally:
        server.wipe()


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Place]:
    """A server with an address, and a socket besides."""
    with place(tmp_path / "state") as found:
        yield found


def test_no_connection_is_free_for_so_long(small: str) -> None:
    with psycopg.connect(small, autocommit=True) as mine:
        with no_connection_free(small) as count:
            assert 5 < count < 10
            assert mine.execute("SELECT 1").fetchall() == [(1,)], "who has one keeps it"
            with pytest.raises(psycopg.OperationalError, match="too many clients already"):
                psycopg.connect(small)
        psycopg.connect(small).close()


def test_every_write_fails_while_the_disk_is_full(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA other; CREATE TABLE other.things (a int); CREATE TABLE runs (a int)")
        with a_disk_that_may_fill(dsn):
            connection.execute("INSERT INTO runs VALUES (1)")
            with full(dsn):
                for write in ("INSERT INTO runs VALUES (2)", "UPDATE runs SET a = 3", "DELETE FROM other.things"):
                    with pytest.raises(psycopg.errors.DiskFull, match="No space left on device"):
                        connection.execute(write.encode())
                assert connection.execute("SELECT a FROM runs").fetchall() == [(1,)]
            connection.execute("INSERT INTO runs VALUES (4)")
        assert connection.execute("SELECT 1 FROM pg_trigger").fetchall() == []
        assert connection.execute("SELECT 1 FROM pg_proc WHERE proname = %s", [FUNCTION]).fetchall() == []


def test_what_was_under_way_is_rolled_back_when_the_address_moves(moving: Place) -> None:
    assert moving.address
    dsn = make_conninfo(moving.dsn, port=moving.address.port)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE things (a int)")
        connection.execute("BEGIN; INSERT INTO things VALUES (1)")
        with moved(moving.address, at_socket(moving.socket)):
            end_sessions(moving.dsn)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("COMMIT")
            with pytest.raises(psycopg.OperationalError, match="refused"):
                psycopg.connect(dsn)
        with psycopg.connect(dsn) as again:
            assert again.execute("SELECT count(*), inet_client_addr() FROM things").fetchall() == [(0, None)]


def test_a_database_is_put_back_as_it_was_copied(dsn: str, postgres: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as user:
        user.execute("CREATE TABLE things (a int)")
        with copied(postgres, dsn) as copy:
            copy.take()
            with pytest.raises(psycopg.OperationalError):
                user.execute("SELECT 1")
            with psycopg.connect(dsn) as later:
                later.execute("INSERT INTO things VALUES (1)")
            copy.put_back()
    with psycopg.connect(dsn) as again:
        assert again.execute("SELECT a FROM things").fetchall() == []


def test_a_copy_that_is_not_put_back_is_dropped(dsn: str, postgres: str) -> None:
    with copied(postgres, dsn) as copy:
        copy.take()
    with psycopg.connect(postgres) as connection:
        assert connection.execute("SELECT 1 FROM pg_database WHERE datname LIKE '%_copy'").fetchall() == []
