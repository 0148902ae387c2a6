"""What is missing on this machine, and the command that fixes it.

It runs before anything is installed, and then leaves out what only an installed package can tell.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.errors import TriptychError, UsageError, printable
from core.lab import environments
from core.settings import ROOT, Settings, settings

ROOM_GB = 3
"""The five environments are 1.6 GB, PostgreSQL, sample files and logs well under 1 GB."""

MEMORY_GB = 3
"""All services and four backfills at once were seen at 2.5 GB."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked. `fix` is set when it is not as it should be."""

    what: str
    state: str
    fix: str | None = None


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield a finding for each thing that the lab needs."""
    yield _python()
    for environment in environments.discover(ROOT):
        if not environment.on_request:
            yield _environment(environment)
    yield _dbt(settings)
    yield _room(settings)
    yield _probe("loopback ports", _ports, "allow sockets on 127.0.0.1")
    if importlib.util.find_spec("psutil"):
        yield _memory()
        yield _database(settings)


def lines(finding: Finding) -> list[str]:
    """Return what is printed for a finding."""
    shown = f"{finding.what:<20} {'NOT OK' if finding.fix else 'ok    '} {finding.state}"
    return [shown, *([f"{'':<20} fix:   {finding.fix}"] if finding.fix else [])]


def main() -> int:
    """Print the findings without any package; return the exit code."""
    try:
        findings = list(examine(settings()))
    except UsageError as error:
        print(f"triptych: {error}", file=sys.stderr)
        return 2
    for finding in findings:
        print(*map(printable, lines(finding)), sep="\n")
    return 1 if any(finding.fix for finding in findings) else 0


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = environments.OLDEST <= sys.version_info[:2] <= environments.NEWEST
    fix = "install Python 3.11, 3.12 or 3.13, then `make setup PYTHON=python3.11`"
    return Finding("Python", version, None if fine else fix)


def _environment(environment: environments.Environment) -> Finding:
    fault = environment.fault()
    return Finding(f"environment {environment.name}", fault or "as pinned", fault and "make setup")


def _dbt(settings: Settings) -> Finding:
    is_program = os.access(settings.dbt, os.X_OK)
    return Finding(
        "dbt", str(settings.dbt), None if is_program else "make setup, or set TRIPTYCH_DBT to a dbt executable"
    )


def _database(settings: Settings) -> Finding:
    if settings.dsn:
        return _probe(
            "PostgreSQL",
            lambda: _answer(settings.dsn or ""),
            "check TRIPTYCH_DSN, or unset it to use the embedded server",
        )
    return _probe("PostgreSQL", lambda: _embedded(settings), "make setup, or set TRIPTYCH_DSN")


def _answer(dsn: str) -> str:
    from core.database import connect_bare

    with connect_bare(dsn) as connection:
        info = connection.info
        return f"version {info.server_version // 10000} at {info.host}:{info.port}"


def _embedded(settings: Settings) -> str:
    from core.lab.postgres_binaries import binaries, server_user

    server_user()
    return str(binaries(settings.pg_bin))


def _room(settings: Settings) -> Finding:
    place = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e9
    writable = os.access(place, os.W_OK | os.X_OK)
    fix = (
        None
        if writable and free > ROOM_GB
        else f"free {ROOM_GB} GB there, or set TRIPTYCH_HOME to a folder that you may write to"
    )
    return Finding("state folder", f"{settings.home}, {free:.0f} GB free{'' if writable else ', not writable'}", fix)


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / 1e9
    fix = None if free > MEMORY_GB else "run one orchestrator at a time: --on airflow, then --on dagster, ..."
    return Finding("memory", f"{free:.1f} GB free", fix)


def _ports() -> str:
    with socket.create_server(("127.0.0.1", 0)):
        return "available"


def _probe(what: str, look: Callable[[], str], fix: str) -> Finding:
    try:
        return Finding(what, look())
    except (TriptychError, OSError) as error:
        return Finding(what, str(error), fix)
