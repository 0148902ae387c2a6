"""Who uses a service: the last one out ends it.

Everybody who uses a service holds a shared lock on its lease file. Who leaves tries to make that lock exclusive: this
works for the last one only, who then ends the service while newcomers wait at the lock. The kernel drops the lock of
a process that dies, so a crash leaves no lease behind.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

from core.settings import private


class Lease:
    """A share in the service whose state is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._file = (private(folder) / "lease").open("a")
        self._kept = folder / "kept"
        # Blocks only while the last one out ends the service, or `down` does: bounded by their time-outs.
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def keep(self) -> None:
        """Let the service outlive all who use it, until `drop_keep`."""
        self._kept.touch()

    def release(self, end: Callable[[], object]) -> None:
        """Give up the share; the last one out calls `end`, unless the service is kept."""
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
    """Whether the service of `folder` was asked to stay."""
    return (folder / "kept").exists()


def drop_keep(folder: Path) -> None:
    """Forget that the service of `folder` was asked to stay."""
    (folder / "kept").unlink(missing_ok=True)
