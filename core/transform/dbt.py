"""One dbt command: how it is run, and what it is run with.

`run` runs every dbt command of this process; a test or a benchmark that wants another way puts a function of its own
there.

Imports no dbt: dbt has an environment of its own, and is an executable to us.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psycopg

from core.database import libpq_variables, logged_wait
from core.errors import Busy, TransientError, UsageError
from core.run import DATASET
from core.settings import ROOT, private, settings
from core.transform import dbt_client
from core.waiting import until

PROJECT = ROOT / "dbt"
"""The folder of the dbt project."""

Completed = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Command:
    """One dbt command. dbt writes its artifacts and log to `folder`, and inherits the file descriptors `keep_open`."""

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    keep_open: Sequence[int] = ()

    @property
    def words(self) -> list[str]:
        """The whole command line, without the executable.

        dbt's errors come as text on its standard output. For JSON lines dbt spells out each of its 350 events in full
        before it drops those that are no errors, a tenth of a warm build.
        """
        # fmt: off
        return [
            "--quiet", "--log-format", "text", "--no-version-check", *self.arguments,
            "--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT),
            "--target-path", str(self.folder), "--log-path", str(self.folder),
        ]
        # fmt: on


def run_warm(command: Command, socket: Path) -> Completed | None:
    """Let the warm dbt server at `socket` run `command`; return None when it took no call, and nothing was run."""

    def call(stdout: int, stderr: int) -> int | None:
        return dbt_client.call(
            socket,
            command.words,
            cwd=PROJECT,
            env=command.environment,
            stdout=stdout,
            stderr=stderr,
            keep_open=command.keep_open,
        )

    return _captured(command, call)


def run_cold(command: Command) -> Completed:
    """Run `command` in a fresh process. Raise `UsageError` when there is no executable."""
    executable = settings().dbt

    def start(stdout: int, stderr: int) -> int:
        return subprocess.run(
            [str(executable), *command.words],
            cwd=PROJECT,
            env=dict(command.environment),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            pass_fds=command.keep_open,
        ).returncode

    try:
        done = _captured(command, start)
    except FileNotFoundError:
        raise UsageError(
            f"{executable} is not there: run `make setup`, or set TRIPTYCH_DBT to a dbt executable"
        ) from None
    assert done is not None
    return done


def _captured(command: Command, start: Callable[[int, int], int | None]) -> Completed | None:
    """Return how the process that `start` runs ended and what it wrote, or None when `start` ran none."""
    with tempfile.TemporaryFile(dir=command.folder) as out, tempfile.TemporaryFile(dir=command.folder) as err:
        code = start(out.fileno(), err.fileno())
        return None if code is None else Completed(command.words, code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _run_warm_or_cold(command: Command) -> Completed:
    done = run_warm(command, dbt_client.socket_path(settings().home, settings().dbt))
    return run_cold(command) if done is None else done


run: Callable[[Command], Completed] = _run_warm_or_cold
"""Run one command: by the warm dbt server of this state folder where there is one, else in a fresh process."""


def environment(
    server: psycopg.ConnectionInfo, schema: str, months: Sequence[dt.date] | None, dataset: str = DATASET
) -> dict[str, str]:
    """Return the variables for a build of `months` (None: all) in `schema`, which holds `dataset`.

    They name the server as our own connection found it, whatever mix of DSN, service file and password file led there.
    """
    variables = libpq_variables()
    found = {variables[key]: value for key, value in server.get_parameters().items() if key in variables}
    found |= {
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGDATABASE": server.dbname,
        "PGAPPNAME": f"triptych dbt {schema}",
        # dbt hides values of this prefix in everything that it writes
        "DBT_ENV_SECRET_PGPASSWORD": server.password,
        "TRIPTYCH_SCHEMA": schema,
        "TRIPTYCH_DATASET": dataset,
    }
    if months is not None:
        found["TRIPTYCH_MONTHS"] = ",".join(str(month) for month in months)
    return scratch_environment() | found


def scratch_environment() -> dict[str, str]:
    """Return the variables that every dbt process gets, whoever starts it."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "LANG": "C.UTF-8"}


def schema_folder(server: psycopg.ConnectionInfo, schema: str) -> Path:
    """Return the folder in which dbt keeps what it knows of one schema; a hash tells servers apart."""
    place = f"{server.host}\0{server.port}\0{server.dbname}"
    return settings().home / "dbt" / f"{schema}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def check_room(folder: Path) -> None:
    """Raise `OSError` when no file in `folder` may grow: then there was no room for dbt's message either."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(4096))


@contextmanager
def exclusive(folder: Path) -> Iterator[int]:
    """Hold the lock of a folder of dbt's; yield its file descriptor, for dbt to inherit.

    The kernel frees it when the last holder of the descriptor is gone. So when we are killed and dbt lives on, the next
    attempt waits for that dbt, instead of running beside it on the same tables.
    """
    wait_s = settings().lock_wait_s
    with (private(folder) / "lock").open("w") as file:
        try:
            with logged_wait(f"another dbt in {folder}"):
                until(lambda: _try_lock(file.fileno()), wait_s, 0.1, "lock")
        except TransientError:
            raise Busy(
                f"a dbt process whose loader is gone still works in {folder} after {wait_s:g} s; end it, then run again"
            ) from None
        yield file.fileno()


def _try_lock(descriptor: int) -> bool | None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    return True
