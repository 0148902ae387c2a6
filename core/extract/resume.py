"""The part of a file that has arrived, and what an earlier attempt left of it.

    <home>/files/parts/<of the address>-<ETag, quoted>.part       the bytes so far
    <home>/files/parts/<of the address>-<ETag, quoted>.marks      lines of "<bytes> <their sha256>"
    <home>/files/.part-<random>                                   bytes that no other attempt can use

The name says which version the bytes belong to; a version without a strong ETag is never resumed. A process that writes
a part holds a lock on it, which ends with the process, even if that is killed; a second process writes under a random
name. A file that has such a name and no lock was left by a killed process, and is deleted. A part is used again up to
the last mark whose digest its bytes still have: what a kill, a power cut or a bad disk did to it is fetched again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import IO
from urllib.parse import quote, unquote

from core.extract.source import Rest
from core.settings import private

MARK_EVERY = 8 << 20
"""Bytes between two marks, hence what a kill costs at most; a transfer that is cut leaves a mark where it was cut."""

_LONGEST_NAME = 200
_TEMPORARY = ".part-"
_READ = 1 << 20


class Partial:
    """The bytes of one version of a file, growing at the end. It ends with `publish`, `discard` or `leave`."""

    def __init__(self, path: Path, file: IO[bytes], etag: str | None, *, keep: bool) -> None:
        self.path, self.etag = path, etag
        self._file, self._keep = file, keep
        self._digest, self.size, self._marked = hashlib.sha256(), 0, 0

    @classmethod
    def leftover(cls, folder: Path, key: str) -> Partial | None:
        """Return what an earlier attempt left of the file `key`, up to its last good mark; None while another attempt
        writes it.

        Of several versions only the youngest can be used: the others are deleted, and so is what no attempt can use.
        """
        cls._sweep(folder.parent)
        parts = sorted(folder.glob(f"{key}-*.part"), key=_modified, reverse=True)
        found: Partial | None = None
        for path in parts:
            part = cls._locked(path, unquote(path.stem.removeprefix(f"{key}-")), create=False)
            if part is not None and (found is not None or not part._recover()):
                part.discard()
            elif part is not None:
                found = part
        return found

    @classmethod
    def new(cls, folder: Path, key: str, etag: str | None) -> Partial:
        """Return an empty part, kept after a failure if it has an ETag, its name fits, and it is not locked."""
        path = folder / f"{key}-{quote(etag or '', safe='')}.part"
        if etag and len(path.name) <= _LONGEST_NAME:
            private(folder)
            if part := cls._locked(path, etag, create=True):
                part._restart()
                return part
        return cls.temporary(folder.parent, etag)

    @classmethod
    def temporary(cls, folder: Path, etag: str | None = None) -> Partial:
        """Return an empty part under a random name, deleted after a failure, or after a kill by the next attempt."""
        private(folder)
        while True:
            part = cls._locked(folder / f"{_TEMPORARY}{secrets.token_hex(8)}", etag, create=True)
            # Otherwise it was swept before it was locked.
            if part is not None:
                part._keep = False
                return part

    @classmethod
    def _sweep(cls, folder: Path) -> None:
        for path in folder.glob(f"{_TEMPORARY}*"):
            # It may belong to another user, or be gone.
            with contextlib.suppress(OSError):
                if part := cls._locked(path, None, create=False):
                    part.discard()

    @classmethod
    def _locked(cls, path: Path, etag: str | None, *, create: bool) -> Partial | None:
        try:
            file = os.fdopen(os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600), "r+b")
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Otherwise it was published or deleted before it was locked.
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return cls(path, file, etag, keep=True)
        except (BlockingIOError, FileNotFoundError):
            pass
        file.close()
        return None

    @property
    def rest(self) -> Rest | None:
        """What to request; None when only the whole file will do."""
        return Rest(self.etag, self.size) if self.etag and self.size else None

    @property
    def sha256(self) -> str:
        """The digest of the bytes so far."""
        return self._digest.hexdigest()

    @property
    def _marks(self) -> Path:
        return self.path.with_suffix(".marks")

    def write(self, chunk: bytes) -> None:
        """Append `chunk`."""
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)
        if self.size - self._marked >= MARK_EVERY:
            self.mark()

    def flush(self) -> None:
        """Make what was written visible to other readers of the path."""
        self._file.flush()

    def mark(self) -> None:
        """Record the bytes so far and their digest, so that a later attempt can tell whether they are intact."""
        self.flush()
        if self._keep and self.size > self._marked:
            with self._marks.open("a") as marks:
                marks.write(f"{self.size} {self.sha256}\n")
            self._marked = self.size

    def publish(self, place: Path) -> None:
        """Rename it to `place`."""
        self._marks.unlink(missing_ok=True)
        self.path.replace(place)
        self._file.close()

    def discard(self) -> None:
        """Delete it."""
        self._marks.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        # There may be no room for the last bytes, and they are no longer wanted.
        with contextlib.suppress(OSError):
            self._file.close()

    def leave(self) -> None:
        """Keep it for the next attempt, if that could use it; otherwise delete it."""
        if not (self._keep and self.size):
            self.discard()
            return
        self.mark()
        self._file.close()

    def _restart(self) -> None:
        self._marks.unlink(missing_ok=True)
        self._file.truncate(0)

    def _recover(self) -> bool:
        """Cut the file back to the last mark whose digest its bytes still have; return whether anything is left."""
        good, digest = self._digest, hashlib.sha256()
        lines = self._marks.read_text(errors="replace").splitlines() if self._marks.exists() else []
        for line in lines:
            match = re.fullmatch(r"([0-9]{1,18}) ([0-9a-f]{64})", line)
            if match is None or not _extend(digest, self._file, int(match[1])) or digest.hexdigest() != match[2]:
                break
            self.size, good = int(match[1]), digest.copy()
        self._digest, self._marked = good, 0
        self._restart_at(self.size)
        return self.size > 0

    def _restart_at(self, size: int) -> None:
        self._file.truncate(size)
        self._file.seek(size)
        self._marks.unlink(missing_ok=True)
        self.mark()


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        # Another process has just published it.
        return 0.0


def _extend(digest: hashlib._Hash, file: IO[bytes], size: int) -> bool:
    """Continue the digest up to byte `size`; return whether the file has that many."""
    while (missing := size - file.tell()) > 0:
        if not (chunk := file.read(min(missing, _READ))):
            return False
        digest.update(chunk)
    return True
