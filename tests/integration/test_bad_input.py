"""Any input ends in one clear line of the right class; nothing is half loaded, and no password is shown."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core import database, load, pipeline
from core.database import connect
from core.datasets import GREEN
from core.errors import (
    BadFile,
    DatabaseUnavailable,
    DiskFull,
    NotPublished,
    PermanentError,
    SchemaDrift,
    TriptychError,
    UsageError,
)
from core.extract import sample
from core.lab.postgres import Postgres
from core.lab.postgres_binaries import server_user
from core.month import Month, parse_months
from core.run import Receipt, Run
from core.settings import settings
from tests.integration import loading
from tests.integration.loading import MONTH, SCHEMA, WAIT_S, attempt, held, ledger, relations, rows, running, waiting
from tests.publisher import HTML_ERROR_PAGE, Publisher, lfs_pointer

NAME = sample.file_name(MONTH)
SECRET = "s3cret"


@pytest.fixture
def folder(tmp_path: Path, warehouse: str) -> Path:
    """A folder with the zone lookup and one month, which is loaded."""
    published = tmp_path / "published"
    sample.write_zones(published / sample.ZONES)
    loading.write(published)
    attempt(published)
    return published


def refusal(kind: type[TriptychError], step: Callable[[], object]) -> str:
    """Return the message of a step that fails: of exactly this class, one line, without the password."""
    with pytest.raises(TriptychError) as caught:
        step()
    assert type(caught.value) is kind, caught.value
    message = str(caught.value)
    assert message.isprintable() and len(message) < 400
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return message


def ingest(source: str | Path, month: Month = MONTH) -> Receipt:
    """Run the step as every orchestrator does."""
    return pipeline.ingest_month(Run(str(source), SCHEMA, loader="test"), month)


# --- files ---


def damaged(content: bytes, at: float, bytes_: bytes = b"\xde\xad\xbe\xef") -> bytes:
    place = int(len(content) * at)
    return content[:place] + bytes_ + content[place + len(bytes_) :]


BAD_FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda good: b"", "is empty"),
    "truncated": (lambda good: good[: len(good) // 2], "is cut off"),
    "one byte short": (lambda good: good[:-1], "is cut off"),
    "web page": (lambda good: HTML_ERROR_PAGE, "is a web page"),
    "LFS pointer": (lfs_pointer, "is a Git LFS pointer"),
    "text": (lambda good: b"VendorID\n1\n", "is not a parquet file"),
    "hollow": (lambda good: b"PAR1" + bytes(len(good)) + b"PAR1", "can't be read"),
    "footer damaged": (lambda good: damaged(good, 0.97), "can't be read"),
    "footer's length damaged": (lambda good: good[:-8] + b"\xff\xff\xff\x7f" + good[-4:], "can't be read"),
    "footer's length beyond the file": (lambda good: good[:-8] + b"\x00\x00\xff\x00" + good[-4:], "can't be read"),
    "a column's name damaged": (lambda good: good.replace(b"VendorID", b"\xf0endorID"), "can't be read: 'utf-8' codec"),
    "two files in one": (lambda good: good[:-100] + good[:200] + good[-4:], "can't be read"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_that_is_none_is_refused_and_the_old_month_stays(folder: Path, warehouse: str, case: str) -> None:
    before = rows(warehouse), ledger(warehouse), relations(warehouse)
    spoil, said = BAD_FILES[case]
    (folder / NAME).write_bytes(spoil((folder / NAME).read_bytes()))
    message = refusal(BadFile, lambda: ingest(folder))
    assert message.startswith(NAME) and said in message
    assert (rows(warehouse), ledger(warehouse), relations(warehouse)) == before


def test_flipped_bits_are_loud_or_give_other_digests(folder: Path, warehouse: str) -> None:
    """Bits rot silently in parquet: what is not refused must at least not look like the file that was published."""
    good = (folder / NAME).read_bytes()
    original = ingest(folder)
    for step in range(30):
        place = 4 + step * (len(good) - 8) // 30
        (folder / NAME).write_bytes(damaged(good, place / len(good), bytes([good[place] ^ 1 << step % 8])))
        try:
            receipt = ingest(folder)
        except (BadFile, SchemaDrift) as error:
            assert str(error).isprintable()
            continue
        assert receipt.source_sha256 != original.source_sha256
    (folder / NAME).write_bytes(good)
    restored = ingest(folder)
    assert (restored.digest, restored.rows) == (original.digest, original.rows)


def test_the_real_bad_files_are_refused(real_data: Path, folder: Path, warehouse: str) -> None:
    before = rows(warehouse)
    expected = {
        "truncated": (BadFile, "is cut off"), "lfs-pointer": (BadFile, "is a Git LFS pointer"),
        "altered": (SchemaDrift, "is not one that green declares"),
    }  # fmt: skip
    for name, (kind, said) in expected.items():
        (path,) = (real_data / "bad").glob(f"*{name}*")
        (folder / NAME).write_bytes(path.read_bytes())
        assert said in refusal(kind, lambda: ingest(folder))
    assert rows(warehouse) == before


ZONE_FILES: dict[str, tuple[Callable[[str], str], type[TriptychError], str]] = {
    "a column more": (lambda text: text.replace("\r\n", ',"note"\r\n'), SchemaDrift, "'note' is not one that zones"),
    "a column less": (
        lambda text: text.replace("LocationID", "ID", 1),
        SchemaDrift,
        "'ID' is not one that zones declares",
    ),
    "a row cut short": (lambda text: text + '"266","Queens"\r\n', BadFile, "Expected 4 columns, got 2"),
    "no number": (lambda text: text + 'x,"a","b","c"\r\n', SchemaDrift, "column 'LocationID': row 266 is 'x'"),
    "no key": (lambda text: text + ',"a","b","c"\r\n', SchemaDrift, "column 'LocationID': row 266 is ''"),
    "a NUL": (lambda text: text + '266,"a\0","b","c"\r\n', SchemaDrift, r"row 266 is 'a\x00'"),
    "latin-1": (lambda text: text + '266,"\udce9","b","c"\r\n', BadFile, "invalid UTF8"),
    "json": (lambda text: '{"error": "not found"}\n', SchemaDrift, "is not one that zones declares"),
}


@pytest.mark.parametrize("case", ZONE_FILES)
def test_a_lookup_that_is_none_is_refused_and_the_old_one_stays(folder: Path, warehouse: str, case: str) -> None:
    step = partial(pipeline.ingest_zones, Run(str(folder), SCHEMA, loader="test"))
    step()
    before = rows(warehouse, "raw_zones")
    spoil, kind, said = ZONE_FILES[case]
    path = folder / sample.ZONES
    path.write_bytes(spoil(path.read_bytes().decode()).encode(errors="surrogateescape"))
    assert said in refusal(kind, step)
    assert rows(warehouse, "raw_zones") == before


# --- words ---


@pytest.mark.parametrize("text", ["2024-13", "../../etc", "2024-1", "", "2024-01/../../../etc/passwd", "2013-07"])
def test_a_wrong_month_is_refused_before_anything_is_touched(text: str) -> None:
    refusal(UsageError, lambda: parse_months(text))


def test_a_month_that_is_not_out_is_named(folder: Path, warehouse: str) -> None:
    assert refusal(NotPublished, lambda: ingest(folder, Month(2026, 11))).startswith(
        "2026-11: no green_tripdata_2026-11.parquet in "
    )
    with Publisher(folder) as site:
        assert refusal(NotPublished, lambda: ingest(site.url, Month(2026, 11))).startswith(
            "2026-11 is not published yet"
        )
    assert "raw_trips_2026_11" not in relations(warehouse)


@pytest.mark.parametrize("schema", ["", "pg_catalog", "x" * 64, "a\0b"])
def test_a_schema_that_can_not_be_is_refused(folder: Path, schema: str) -> None:
    refusal(UsageError, lambda: pipeline.ingest_month(Run(str(folder), schema, loader="test"), MONTH))


@pytest.mark.parametrize("source", ["/no/such/folder", "ftp://host/x", f"http://user:{SECRET}@127.0.0.1:1/x"])
def test_a_source_that_is_none_is_refused(folder: Path, source: str) -> None:
    refusal(UsageError, lambda: ingest(source))


FOLDERS = [
    "-rf",
    "a'b\"c;",
    "two\nlines",
    "\x1b[31m",
    "%s {0} {{ 7 }} $1",
    "ü" * 100,
    "[/red]",
    "caf\udce9",
    " ",
    "...",
]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_may_have_any_name(folder: Path, warehouse: str, tmp_path: Path, name: str) -> None:
    place = Path(shutil.copytree(folder, tmp_path / name))
    assert ingest(place).state == "unchanged"
    assert "no green_tripdata_2026-11.parquet in" in refusal(NotPublished, lambda: ingest(place, Month(2026, 11)))
    (place / NAME).write_bytes(b"")
    refusal(BadFile, lambda: ingest(place))


def test_a_strategy_that_is_none_is_refused_before_anything_is_fetched(warehouse: str) -> None:
    refusal(
        UsageError,
        lambda: pipeline.ingest_month(
            Run.of({"source": "/no/such/folder", "schema": SCHEMA, "strategy": "none"}, "test"), MONTH
        ),
    )
    assert relations(warehouse) == set()


# --- the server ---


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Point the settings to another server."""

    def change(dsn: str) -> None:
        monkeypatch.setenv("TRIPTYCH_DSN", dsn)
        settings.cache_clear()

    yield change
    monkeypatch.undo()
    settings.cache_clear()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def open_and_close() -> None:
    with connect("test"):
        pass


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://user:{SECRET}@host:port/db", f"postgresql://user:{SECRET}/x@host/db", f"postgresql://user:x@{SECRET}@host/db",
        f"postgresql://user:1/{SECRET}@host/db", f"postgresql://user:{SECRET}%zz@host/db", f"{SECRET}",
        f"host=h password={SECRET} x",
        f"postgresql://user:{SECRET}@host/db?nonsense=1", f"mysql://user:{SECRET}@host/db",
    ],
)  # fmt: skip
def test_a_dsn_that_is_none_is_refused_without_being_shown(use: Callable[[str], None], dsn: str) -> None:
    use(dsn)
    assert "TRIPTYCH_DSN is not a DSN" in refusal(UsageError, open_and_close)


def test_a_server_that_does_not_answer_is_named_without_its_password(use: Callable[[str], None]) -> None:
    port = free_port()
    use(f"postgresql://user:{SECRET}@127.0.0.1:{port}/db")
    message = refusal(DatabaseUnavailable, open_and_close)
    assert message.startswith(f"PostgreSQL at 127.0.0.1:{port}/db: ") and "TRIPTYCH_DSN" in message


def test_a_server_that_is_no_postgresql_is_named(use: Callable[[str], None], folder: Path) -> None:
    with Publisher(folder) as site:
        port = site.url.split(":")[2].split("/")[0]
        use(f"postgresql://user:{SECRET}@127.0.0.1:{port}/db?sslmode=disable&connect_timeout=2")
        assert f"127.0.0.1:{port}" in refusal(DatabaseUnavailable, open_and_close)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"password": SECRET}, "password authentication failed"),
        ({"user": "nobody_here", "password": SECRET}, "password authentication failed"),
        ({"dbname": "no_such_db"}, 'database "no_such_db" does not exist'),
    ],
    ids=["password", "user", "database"],
)
def test_a_wrong_word_in_the_dsn_is_permanent(
    warehouse: str, use: Callable[[str], None], changed: dict[str, str], said: str
) -> None:
    use(make_conninfo(warehouse, **changed))
    message = refusal(UsageError, open_and_close)
    assert said in message and message.endswith("; check TRIPTYCH_DSN")
    password = conninfo_to_dict(warehouse)["password"]
    assert str(password) not in message


def test_a_server_that_is_too_old_is_refused(warehouse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SERVER_FLOOR", 990000)
    message = refusal(UsageError, open_and_close)
    assert re.search(r"is version \d+; Triptych needs 99 or newer", message)


def test_a_server_without_free_connections_is_transient(warehouse: str, use: Callable[[str], None]) -> None:
    parts = conninfo_to_dict(warehouse)
    with psycopg.connect(warehouse, autocommit=True) as connection:
        role = f"one_{parts['dbname']}"
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}' CONNECTION LIMIT 1".encode())
        try:
            use(make_conninfo(warehouse, user=role, password=SECRET))
            with connect("first"):
                assert "too many connections" in refusal(DatabaseUnavailable, open_and_close)
        finally:
            connection.execute(f"DROP ROLE {role}".encode())


def test_the_options_of_a_dsn_are_kept(warehouse: str, use: Callable[[str], None]) -> None:
    use(make_conninfo(warehouse, options="-c work_mem=1234kB"))
    with connect("test") as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("1234kB",)
        assert connection.execute("SHOW search_path").fetchone() == ("pg_catalog",)


def test_postgresql_ended_in_the_middle_of_a_load(
    tmp_path: Path, use: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of our own is ended while a loader waits, its rows copied; it comes up again with what was committed."""
    monkeypatch.setenv("TRIPTYCH_HOME", str(tmp_path / "state"))
    loading.write(tmp_path / "published")
    server = Postgres(tmp_path / "postgres")
    try:
        use(dsn := server.start())
        attempt(tmp_path / "published")
        before = rows(dsn), ledger(dsn), relations(dsn)
        loading.write(tmp_path / "published", seed=1)
        with running(lambda: refusal(DatabaseUnavailable, lambda: attempt(tmp_path / "published"))) as (message,):
            with pytest.raises(psycopg.OperationalError), held(dsn) as holder:
                waiting(dsn)
                server.stop()
                holder.execute("SELECT 1")
            assert "terminating connection" in message.result(WAIT_S)
        assert "check that it runs" in refusal(DatabaseUnavailable, lambda: attempt(tmp_path / "published"))
        use(dsn := server.start())
        assert (rows(dsn), ledger(dsn), relations(dsn)) == before
        assert attempt(tmp_path / "published").state == "success"
    finally:
        server.wipe()


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root may mount a small file system")
def test_no_room_for_the_servers_tables(tmp_path: Path, warehouse: str) -> None:
    """A table space of a few hundred KB holds the tables, and not a month's rows."""
    place = Path(f"/var/tmp/triptych-test-{os.getpid()}")
    place.mkdir()
    options = f"size=1M,uid={server_user()}"  # PostgreSQL wants it to be its own
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True).returncode:
        place.rmdir()
        pytest.skip("this root may not mount")
    name = f"small_{os.getpid()}"
    loading.write(tmp_path / "published", rows=20_000)
    load.begin(SCHEMA)
    try:
        with psycopg.connect(warehouse, autocommit=True) as connection:
            try:
                connection.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'".encode())
            except psycopg.Error as error:
                pytest.skip(f"the server is not on this machine, or may not use {place}: {error}")
            database_name = connection.info.dbname
            connection.execute(f'ALTER DATABASE "{database_name}" SET default_tablespace = {name}'.encode())
            message = refusal(DiskFull, lambda: attempt(tmp_path / "published"))
            assert "No space left on device" in message and message.endswith("make room there, then run again")
            assert (rows(warehouse), ledger(warehouse)) == ([], [])
            connection.execute(f'ALTER DATABASE "{database_name}" RESET default_tablespace'.encode())
            assert attempt(tmp_path / "published").state == "success"
            connection.execute(f"DROP TABLESPACE {name}".encode())
    finally:
        subprocess.run(["umount", str(place)], check=True)
        place.rmdir()


def test_no_room_for_the_file(folder: Path, warehouse: str) -> None:
    """Under a limit that no file may pass; in a process of its own, because pytest writes files too."""
    before = rows(warehouse), ledger(warehouse)
    loading.write(folder, seed=1)
    script = (
        "import resource, sys\n"
        "from core.errors import DiskFull\nfrom core.month import Month\n"
        "from core.pipeline import ingest_month\nfrom core.run import Run\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    ingest_month(Run(sys.argv[1], 'plain', loader='test'), Month(2024, 1))\n"
        "except DiskFull as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("no room under ") and done.stdout.count("\n") == 1
    assert list((settings().home / "files").glob(".part-*")) == []
    assert (rows(warehouse), ledger(warehouse)) == before


def test_a_table_that_was_altered_is_permanent(folder: Path, warehouse: str) -> None:
    with psycopg.connect(warehouse, autocommit=True) as connection:
        connection.execute("ALTER TABLE plain.raw_trips ALTER fare_amount TYPE bigint USING 1")
    assert "fare_amount" in refusal(SchemaDrift, lambda: ingest(folder))


def test_a_right_that_is_missing_is_permanent(folder: Path, warehouse: str, use: Callable[[str], None]) -> None:
    parts = conninfo_to_dict(warehouse)
    role = f"weak_{parts['dbname']}"
    with psycopg.connect(warehouse, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'".encode())
        try:
            use(make_conninfo(warehouse, user=role, password=SECRET))
            assert "permission denied for schema plain" in refusal(PermanentError, lambda: load.begin(SCHEMA))
        finally:
            connection.execute(f"DROP ROLE {role}".encode())


def test_every_published_name_is_plain() -> None:
    """What stands in messages, paths and tables comes from the declaration: nothing of it needs quoting."""
    for column in GREEN.table_columns:
        assert re.fullmatch(r"[a-z_]+", column.name)
        assert re.fullmatch(r"[A-Za-z_]*", column.published)
