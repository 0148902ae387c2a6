"""When PostgreSQL refuses, ends or delays work, the error has the right class, and one line that says what to do."""

from __future__ import annotations

import ast
import logging
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from core import database, load, transform
from core.database import connect, connect_bare, lock, lock_key
from core.datasets import GREEN
from core.errors import Busy, DatabaseUnavailable
from core.extract import extract, sample
from core.lab.cli import main
from core.lab.postgres import Postgres
from core.month import Month
from core.pipeline import ingest_month, ingest_zones
from core.run import Run
from core.settings import ROOT, settings
from core.transform import dbt
from core.waiting import until
from tests.unit.fetching import refusal

WAIT_S = 30.0


def use(dsn: str) -> None:
    """Connect as the pipeline does, and disconnect."""
    with connect("test", dsn=dsn) as connection:
        connection.execute("SELECT 1")


def test_only_one_module_connects() -> None:
    """A psycopg error that is not translated is reported as a bug. So every connection is made by `core.database`."""
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "core").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("psycopg.connect", "psycopg.Connection.connect")
    ]
    assert set(found) == {"core/database.py"}


# --- connections ---

NO_CONNECTION = "; no connection is free: run fewer orchestrators at a time, or fewer --jobs, or raise "


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Start a server that allows four connections; yield its state folder and its DSN."""
    home = tmp_path_factory.mktemp("small")
    options = {"max_connections": "4", "superuser_reserved_connections": "2", "autovacuum": "off"}
    server = Postgres(home / "postgres", options=options)
    try:
        yield home, server.start()
    finally:
        server.wipe()


@contextmanager
def taken(dsn: str) -> Iterator[None]:
    """Use all connections of the server."""
    with ExitStack() as stack:

        def take() -> bool | None:
            try:
                stack.enter_context(psycopg.connect(dsn))
            except psycopg.OperationalError:
                return True
            return None

        until(take, WAIT_S, 0, "the last connection to be taken")
        yield


def test_a_server_without_a_free_connection_is_transient(small: tuple[Path, str]) -> None:
    _, dsn = small
    with connect_bare(dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE ordinary LOGIN PASSWORD 'p'")
    with taken(dsn):
        message = refusal(DatabaseUnavailable, lambda: use(dsn))
        assert "too many clients already" in message and message.endswith(f"{NO_CONNECTION}max_connections")
    ordinary = make_conninfo(dsn, user="ordinary", password="p")
    # The two other connections are reserved for superusers
    with psycopg.connect(dsn), psycopg.connect(dsn):
        message = refusal(DatabaseUnavailable, lambda: use(ordinary))
        assert "connection slots are reserved" in message and message.endswith(f"{NO_CONNECTION}max_connections")


def test_the_lab_reports_it_too_and_does_not_call_it_a_bug(
    small: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, dsn = small
    monkeypatch.setenv("TRIPTYCH_HOME", str(home))
    monkeypatch.delenv("TRIPTYCH_DSN", raising=False)
    # No other lab uses the server, so this one would end it
    monkeypatch.setattr(Postgres, "stop", lambda _: None)
    settings.cache_clear()
    with taken(dsn):
        assert main(["ledger"]) == 1
    settings.cache_clear()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.endswith(f"{NO_CONNECTION}max_connections\n") and "bug" not in said


@pytest.mark.parametrize("limited", ["ROLE", "DATABASE"])
def test_a_connection_limit_of_a_role_or_a_database_is_named(warehouse: str, limited: str) -> None:
    role = f"limited_{os.getpid()}"
    with connect_bare(warehouse, autocommit=True) as admin:
        name = sql.Identifier(role if limited == "ROLE" else admin.info.dbname)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p'").format(sql.Identifier(role)))
        try:
            dsn = make_conninfo(warehouse, user=role, password="p")
            with psycopg.connect(dsn):
                limit = sql.SQL("ALTER {} {} CONNECTION LIMIT 1").format(sql.SQL(limited), name)
                admin.execute(limit)
                message = refusal(DatabaseUnavailable, lambda: use(dsn))
        finally:
            admin.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT -1").format(sql.Identifier(admin.info.dbname)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    assert f"too many connections for {limited.lower()}" in message
    assert message.endswith(f"{NO_CONNECTION}the limit (ALTER ROLE or ALTER DATABASE ... CONNECTION LIMIT)")


# --- time ---


@contextmanager
def limit(dsn: str, name: str, value: str) -> Iterator[None]:
    """Set a limit for everyone who connects to the database, until the block ends."""
    with connect_bare(make_conninfo(dsn, options=f"-c {name}=0"), autocommit=True) as admin:
        words = sql.Identifier(admin.info.dbname), sql.SQL(name)
        admin.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(*words, value))
        try:
            yield
        finally:
            admin.execute(sql.SQL("ALTER DATABASE {} RESET {}").format(*words))


def exceed(name: str) -> None:
    """Exceed the limit `name` in one session."""
    with connect("test", autocommit=name == "idle_session_timeout") as connection:
        pid = connection.info.backend_pid
        connection.execute("SELECT 1")
        if name == "statement_timeout":
            connection.execute("SELECT pg_sleep(60)")
        with connect_bare(settings().require_dsn(), autocommit=True) as other:
            other.execute(f"SET {name} = 0")

            def is_gone() -> bool | None:
                return None if other.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchall() else True

            until(is_gone, WAIT_S, 0.05, name)
        connection.execute("SELECT 1")


@pytest.mark.parametrize(
    "name", ["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"]
)
def test_a_time_limit_is_named_with_what_to_do(warehouse: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with limit(warehouse, name, "200ms"):
        check_limit(warehouse, monkeypatch, name)


def check_limit(warehouse: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The message names the limit, and its remedy works."""
    message = refusal(DatabaseUnavailable, lambda: exceed(name))
    assert "check that it runs" not in message
    assert f"; {name} ended it: raise it for this role (ALTER ROLE ... SET {name} = 0 is no limit)" in message
    remedy = message.rpartition("TRIPTYCH_DSN=...")[2].removesuffix(")")
    monkeypatch.setenv("TRIPTYCH_DSN", warehouse + remedy)
    settings.cache_clear()
    with connect("test") as connection:
        assert connection.execute(sql.SQL("SHOW {}").format(sql.SQL(name))).fetchone() == ("0",)
        assert f"-c {name}=0" in dbt.environment(connection.info, "plain", None)["PGOPTIONS"]


def test_a_load_that_exceeds_a_time_limit_names_it(warehouse: str, tmp_path: Path) -> None:
    month = Month(2024, 1)
    sample.ensure(tmp_path / "published", [month], rows=20_000)
    fence = load.begin("plain")
    file = extract(GREEN, str(tmp_path / "published"), month)
    order = load.Load("plain", GREEN, month, file, "swap", "plain", "run", fence)
    with limit(warehouse, "statement_timeout", "5ms"):
        assert "; statement_timeout ended it: " in refusal(DatabaseUnavailable, lambda: load.load(order))
    assert load.load(order).state == "success"


def test_a_build_that_exceeds_a_time_limit_names_it(warehouse: str, tmp_path: Path) -> None:
    """dbt has sessions of its own: a lock on a table that they read makes them exceed it."""
    month = Month(2024, 1)
    sample.ensure(tmp_path / "published", [month], rows=200)
    run = Run(str(tmp_path / "published"), "plain", loader="plain")
    ingest_zones(run)
    ingest_month(run, month)
    with limit(warehouse, "statement_timeout", "2s"), psycopg.connect(warehouse) as holder:
        holder.execute("LOCK TABLE plain.raw_trips IN ACCESS EXCLUSIVE MODE")
        message = refusal(DatabaseUnavailable, lambda: transform.refresh("plain"))
    assert message.startswith("dbt: ") and "; statement_timeout ended it: " in message


def test_a_canceled_statement_is_not_reported_as_a_server_that_is_down(warehouse: str) -> None:
    def cancel() -> None:
        with connect("test") as connection:
            connection.execute("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)")

    message = refusal(DatabaseUnavailable, cancel)
    assert message.endswith(
        "canceling statement due to user request; run again, unless somebody canceled it on purpose"
    )


# --- locks ---


@pytest.fixture
def short_wait(warehouse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_LOCK_WAIT_S", "0.2")
    settings.cache_clear()


def wait_for(*words: str) -> str:
    """Return the message of a wait for a lock in vain."""

    def wait() -> None:
        with connect("plain green 2024-01") as connection:
            lock(connection, *words)

    return refusal(Busy, wait)


def test_a_wait_in_vain_names_the_holders_of_the_lock(warehouse: str, short_wait: None) -> None:
    """It may be another month of the same command, or another run: the name of the session says which."""
    name = ("table", "plain", "green")
    with connect("plain green 2024-02") as one, connect("plain green 2024-03") as two:
        lock(one, *name, shared=True)
        message = wait_for(*name)
        holder = f"triptych pid={os.getpid()} plain green"
        assert message == (
            f"table plain green: the lock was not free for 0.2 s, and {holder} 2024-02 holds it; run again when it is, "
            "or raise TRIPTYCH_LOCK_WAIT_S"
        )
        lock(two, *name, shared=True)
        assert f", and {holder} 2024-02 and {holder} 2024-03 hold it;" in wait_for(*name)


def test_a_wait_for_a_lock_is_logged(
    warehouse: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "core")
    with connect("test") as connection:
        lock(connection, "free")
        assert caplog.messages == []
        monkeypatch.setattr(database, "MOMENT_S", 0.0)
        lock(connection, "x", "y")
    (line,) = caplog.messages
    assert re.fullmatch(r"waited \d+\.\d s for the lock x y", line)


def test_a_holder_without_a_name_is_named_by_its_pid(warehouse: str, short_wait: None) -> None:
    with psycopg.connect(warehouse) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [lock_key("x", "y")])
        assert f", and a session (pid {connection.info.backend_pid}) holds it;" in wait_for("x", "y")


def test_holders_that_can_not_be_queried_are_left_out(
    warehouse: str, short_wait: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("no connection is free")

    with connect("other") as connection:
        lock(connection, "x")
        monkeypatch.setattr(database, "connect_bare", refuse)
        assert wait_for("x").startswith("x: the lock was not free for 0.2 s; run again when it is")
