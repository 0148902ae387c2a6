"""A stage for faults: a server of its own, on a file system that can be filled, and the faults that can happen there.

Most faults are something that the loader does to itself, its connection or the server at a point of its run
(`tests.faults.injector`). So they happen in its process, and not a moment earlier or later.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.harness import measure
from benchmarks.harness.proxy import led_through, proxy, server_of
from core.lab.postgres import Postgres
from core.settings import settings
from core.waiting import until

TIMEOUT_S = 60.0
DISK_MB = 400
"""The size of the server's file system. A cluster takes 60 MB, each half-empty log file 16 MB until a checkpoint."""

OPTIONS = {
    # The operating system keeps what a stopped server has written: nothing here cuts the power.
    "fsync": "off",
    "full_page_writes": "off",
    # A log file is created only when it is needed, so that it meets a full disk.
    "wal_recycle": "off",
    "max_wal_size": "64MB",
    "shared_buffers": "32MB",
    # Autovacuum would run at any time; `Stage.tidy` vacuums between scenarios.
    "autovacuum": "off",
}


@dataclass(frozen=True)
class Fault:
    """A fault, the kinds of point where it can happen, and how a loader may end that meets it.

    A fault `within` the loader's process makes a difference between the moment after a point and the one before the
    next. For any other fault, both are the same moment.
    """

    name: str
    ends: tuple[str, ...]
    kinds: tuple[str, ...] = ("statement",)
    within: bool = False
    fills_disk: bool = False


KILL = Fault("SIGKILL", ("SIGKILL",), ("statement", "file"))
FAULTS = (
    KILL,
    Fault("SIGTERM", ("SystemExit",), ("statement", "file"), within=True),
    Fault("loader's disk full", ("success", "DiskFull"), ("file",), within=True),
    Fault("backend terminated", ("success", "DatabaseUnavailable")),
    Fault("connection cut", ("success", "DatabaseUnavailable")),
    Fault("answer lost", ("success", "DatabaseUnavailable")),
    Fault("server stopped", ("success", "DatabaseUnavailable")),
    Fault("server's disk full", ("success", "DiskFull", "DatabaseUnavailable"), fills_disk=True),
    Fault("server's log full", ("success", "DiskFull", "DatabaseUnavailable"), fills_disk=True),
)


class Stage:
    """A running server, a folder for files, and the file system `disk` of the server, if it could be mounted."""

    def __init__(self, folder: Path, server: Postgres, dsn: str, disk: Path | None) -> None:
        self.folder, self.server, self.dsn, self.disk = folder, server, dsn, disk
        self._observer: psycopg.Connection[Any] | None = None

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement as an observer, never a loader; return its rows."""
        cursor = self.observer.execute(query.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    @property
    def observer(self) -> psycopg.Connection[Any]:
        """The observer's session; a new one after the server was restarted."""
        if self._observer is not None:
            try:
                self._observer.execute("SELECT")
            except psycopg.OperationalError:
                self._observer.close()
        if self._observer is None or self._observer.closed:
            self._observer = psycopg.connect(self.dsn, autocommit=True, application_name="observer")
        return self._observer

    def tidy(self) -> None:
        """Vacuum, because each case leaves a few hundred dead rows in the catalog."""
        self.ask("VACUUM")
        self.ask("CHECKPOINT")

    def restart(self) -> None:
        """Stop the server as a crash does, without a checkpoint, and start it again, with room on its disk."""
        if self.disk is not None:
            _resize(self.disk, DISK_MB << 20)
        crash(self.server)
        self.server.start()

    def wait_for_sessions(self) -> None:
        """Wait until no loader is connected."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'triptych pid=%'"
        until(lambda: self.ask(query) == [(0,)] or None, TIMEOUT_S, 0.001, "the end of sessions")

    # --- in the loader's process ---

    @contextmanager
    def armed(self, fault: str) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the DSN for the loader, and the function that makes the fault happen."""
        with ExitStack() as stack:
            if fault in ("connection cut", "answer lost"):
                deaf = threading.Event()
                port = stack.enter_context(proxy(server_of(self.dsn), 0.0, deaf))
                yield led_through(port, self.dsn), stack.close if fault == "connection cut" else deaf.set
            else:
                yield self.dsn, self._faults()[fault]

    def _faults(self) -> dict[str, Callable[[], None]]:
        return {
            "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
            "loader's disk full": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY)),
            "backend terminated": self._terminate,
            "server stopped": self.restart,
            "server's disk full": self._fill,
            "server's log full": lambda: self._fill(log=True),
        }

    def _terminate(self) -> None:
        query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE %s"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(query, [f"triptych pid={os.getpid()} %"])

    def _fill(self, *, log: bool = False) -> None:
        assert self.disk is not None
        # The next record then needs a new file of 16 MB, and there is room for anything but that.
        if log:
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                connection.execute("SELECT pg_switch_wal()")
        found = os.statvfs(self.disk)
        _resize(self.disk, (found.f_blocks - found.f_bfree) * found.f_frsize + (4 << 20 if log else 0))


def crash(server: Postgres) -> None:
    """Stop a server at once, without a checkpoint. The operating system still writes what the server has written."""
    if running := server.running():
        running.process.send_signal(signal.SIGQUIT)
        until(lambda: True if server.running() is None else None, TIMEOUT_S, 0.005, "the end of the server")


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage, taken down at the end. The server's disk is its own where we may mount one, as root."""
    settings().home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-", dir=settings().home)))
        disk = small_disk(stack, DISK_MB)
        server = Postgres((disk or folder) / "postgres", settings().pg_bin, OPTIONS)
        stack.callback(server.wipe)
        dsn = server.start()
        yield Stage(folder, server, dsn, disk if disk and server.data.is_relative_to(disk) else None)


def small_disk(stack: ExitStack, size_mb: int) -> Path | None:
    """Mount a small file system until the stack ends; return None where we may not mount one."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mount"):
        return None
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="triptych-disk-")))
    # The server's user must be able to pass through it.
    options = f"size={size_mb}m,mode=0711"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True)
    if done.returncode:
        return None
    stack.callback(subprocess.run, ["umount", "-l", str(place)], check=True)
    return place


def _resize(disk: Path, size: int) -> None:
    """Set the size of the file system. It is full if that is exactly the size of what it holds."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True, capture_output=True)


def about(stages: Sequence[Stage]) -> dict[str, Any]:
    """Return the facts of a run on these stages."""
    first = stages[0]
    running = first.server.running()
    assert running is not None
    at = measure.Server(first.dsn, running.process, first.folder)
    return measure.facts(at, ["psycopg", "pyarrow"], Path(sys.executable))
