"""Which processes use a service: the last one to leave ends it.

Each user of a service holds a shared lock on its lease file. A user that leaves tries to make its lock exclusive. That
succeeds for the last user only, which then ends the service while new users wait for the lock. The kernel drops the
lock of a process that dies, so a crash leaves no lease behind.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

from core.settings import private


class Lease:
    """A share in the use of the service whose state is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._file = (private(folder) / "lease").open("a")
        self._kept = folder / "kept"
        # Blocks only while the last user, or `down`, ends the service: their time-outs bound it.
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def keep(self) -> None:
        """Let the service outlive all its users, until `drop_keep`."""
        self._kept.touch()

    def release(self, end: Callable[[], object]) -> None:
        """Give up the share; the last user calls `end`, unless the service is kept."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            return
        try:
            if not self._kept.exists():
                end()
        finally:
            self._file.close()


def kept(folder: Path) -> bool:
    """Return whether the service of `folder` was asked to stay."""
    return (folder / "kept").exists()


def drop_keep(folder: Path) -> None:
    """Forget that the service of `folder` was asked to stay."""
    (folder / "kept").unlink(missing_ok=True)
