"""Which processes use a service: the last one to leave ends it.

Each user of a service holds a shared lock on its lease file. A user that leaves tries to make its lock exclusive. That
succeeds for the last user only, which then ends the service while new users wait for the lock. The kernel drops the
lock of a process that dies, so a crash leaves no lease behind. The kernel does not say portably who holds a lock: for
``triptych status``, each user also posts a notice.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from core.lab import notices
from core.lab.identity import Identity
from core.settings import private


class Lease:
    """A share in the use of the service whose state is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._file = (private(folder) / "lease").open("a")
        self._kept = folder / "kept"
        # Blocks only while the last user, or `down`, ends the service: their time-outs bound it.
        fcntl.flock(self._file, fcntl.LOCK_SH)
        # One process may use a service twice.
        self._notice = folder / "users" / uuid4().hex
        notices.post(self._notice, "uses it")

    @property
    def is_lost(self) -> bool:
        """Whether somebody has deleted the folder."""
        return not self._notice.exists()

    def keep(self) -> None:
        """Let the service outlive all its users, until `drop_keep`."""
        self._kept.touch()

    def release(self, end: Callable[[], object]) -> None:
        """Give up the share; the last user calls `end`, unless the service is kept."""
        try:
            # It is not free while others use the service.
            with suppress(BlockingIOError):
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not self._kept.exists():
                    end()
        finally:
            self._notice.unlink(missing_ok=True)
            self._file.close()


def users(folder: Path) -> list[Identity]:
    """Return the living processes that use the service of `folder`."""
    found = set()
    for path in (folder / "users").glob("[!.]*"):
        if user := notices.author(path):
            found.add(user)
        else:
            # It was killed.
            path.unlink(missing_ok=True)
    return sorted(found, key=lambda user: user.pid)


def kept(folder: Path) -> bool:
    """Return whether the service of `folder` was asked to stay."""
    return (folder / "kept").exists()


def drop_keep(folder: Path) -> None:
    """Forget that the service of `folder` was asked to stay."""
    (folder / "kept").unlink(missing_ok=True)
