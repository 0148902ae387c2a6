"""How a person or another program reaches the warehouse: its DSN, and psql."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core.database import libpq_variables
from core.errors import PermanentError, UsageError
from core.lab.postgres import Postgres
from core.lab.postgres_binaries import binaries
from core.settings import Settings

SECRETS = ("password", "sslpassword")
"""What a DSN may hold that is shown only on request."""


def find_dsn(settings: Settings) -> str:
    """Return the DSN of the warehouse that runs, without starting it; raise `UsageError` when none does."""
    if settings.dsn:
        return settings.dsn
    folder = settings.home / "postgres"
    dsn = Postgres(folder, settings.pg_bin).running_dsn() if folder.exists() else None
    if dsn is None:
        raise UsageError("the embedded PostgreSQL does not run: `triptych up plain` starts it and leaves it running")
    return dsn


def without_secrets(dsn: str) -> str:
    """Return `dsn`, in its own form, without its passwords."""
    if "://" not in dsn:
        return make_conninfo("", **{key: value for key, value in conninfo_to_dict(dsn).items() if key not in SECRETS})
    parts = urlsplit(dsn)
    user, at, place = parts.netloc.rpartition("@")
    query = urlencode([(key, value) for key, value in parse_qsl(parts.query) if key not in SECRETS])
    shown = f"{parts.scheme}://{user.partition(':')[0]}{at}{place}{parts.path}"
    return f"{shown}?{query}" if query else shown


def psql(settings: Settings, dsn: str, arguments: Sequence[str]) -> int:
    """Run psql on the warehouse, in this terminal, and return its exit code.

    Everything that the DSN says travels in the environment: arguments are visible to every user of the machine. Ctrl-C
    belongs to psql, where it cancels a query.
    """
    variables = libpq_variables()
    asked = {variables[key]: str(value) for key, value in conninfo_to_dict(dsn).items() if key in variables}
    with ExitStack() as restored:
        # A handler and not SIG_IGN, which psql would inherit.
        restored.callback(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, lambda *_: None))
        with subprocess.Popen([str(_program(settings)), *arguments], env=os.environ | asked) as child:
            return child.wait()


def _program(settings: Settings) -> Path:
    program = binaries(settings.pg_bin) / "psql"
    if not program.exists():
        raise PermanentError(f"there is no psql in {program.parent}: set PG_BIN to a folder that has one")
    return program
