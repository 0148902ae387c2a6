"""A folder of this machine as a source."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from core.errors import NotPublished, PermanentError, SourceUnavailable, UsageError
from core.extract.source import Answer, Rest
from core.run import HELP

_CHUNK = 1 << 20


class Folder:
    """A folder of this machine. It has no versions: its files are copied each time."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        if not os.path.isdir(self._folder):  # noqa: PTH112  # Path.is_dir() raises on a name that is too long
            raise UsageError(f"source {folder!r} is not a folder: write {HELP['source']}")

    def address(self, path: str) -> str:
        """See `Source`."""
        return str(self._folder / path)

    @contextlib.contextmanager
    def get(self, path: str, unless: str | None, rest: Rest | None) -> Iterator[Answer]:
        """See `Source`; raise `SourceUnavailable` on a file that changes while it is copied: it may be half old."""
        name = self._folder / path
        try:
            file = open(name, "rb", opener=_without_waiting)  # noqa: SIM115  # closed below
        except FileNotFoundError:
            yield Answer("absent", said="no file")
            return
        except OSError as error:
            raise _unreadable(name, error) from error
        with file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise PermanentError(f"{name} is not a regular file: publish a file under this name")
            yield Answer("file", _chunks(file, name), size=before.st_size)
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise SourceUnavailable(f"{name} changed while it was read; run again when it is whole")

    def absent(self, what: str, name: str, said: list[str]) -> PermanentError:
        """See `Source`."""
        return NotPublished(f"{what}: no {name} in {self._folder}; check the month and --source")


def _without_waiting(path: str, flags: int) -> int:
    # Opening a pipe that has no writer would block.
    return os.open(path, flags | os.O_NONBLOCK)


def _chunks(file: IO[bytes], path: Path) -> Iterator[bytes]:
    try:
        yield from iter(lambda: file.read(_CHUNK), b"")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> PermanentError:
    return PermanentError(f"{path}: {error.strerror}; check the file and its disk")
