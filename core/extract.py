"""From a source to a verified local file.

A file is streamed to a temporary name, its SHA-256 computed on the way, looked at, and renamed only when whole. It is
then kept under its digest, so the file that a load reads never changes under it, and a file that the publisher replaces
never disturbs a run that reads the old one:

    <home>/files/<first 16 digits of the sha256>/green_tripdata_2024-01.parquet
    <home>/files/index/<of the address>.json        what was last fetched from there: digest, bytes, ETag

A second extract asks the publisher only whether the file has changed, and checks the kept file's digest before it is
used again. It asks by ETag alone: Last-Modified counts seconds, and misses a file that is replaced within one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import httpx

from core.errors import BadFile, DiskFull, NotPublished, PermanentError, SourceUnavailable, UsageError
from core.month import Month
from core.schema import Dataset
from core.settings import settings

_CHUNK = 1 << 20

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
"""Seconds between two bytes, not for the whole file: a slow link is not a fault."""


@dataclass(frozen=True)
class Extracted:
    """A verified local file. `name` is the published name, for messages; `sha256` and `bytes` are of its content."""

    path: Path
    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class _Known:
    """What the index says of an address."""

    sha256: str
    bytes: int
    etag: str | None = None


def extract(dataset: Dataset, source: str, month: Month | None = None) -> Extracted:
    """Fetch the dataset's file for `month` from `source`: a folder, an http(s) prefix, or ``tlc``.

    Raise `NotPublished` when the source has no such file, `BadFile` when what it has is not one, `SourceUnavailable`
    when it does not answer or not with the whole, `DiskFull`, and `UsageError` on a source that is neither of these.
    """
    prefix = settings().tlc_url if source == "tlc" else source
    paths = [path.format(month=month) for path in dataset.paths]
    if prefix.startswith(("http://", "https://")):
        return _from_http(_address(prefix), paths, month)
    if "://" in prefix:
        raise UsageError(f"source {_scheme(prefix)}: write a folder, an http(s) prefix, `sample` or `tlc`")
    return _from_folder(Path(prefix), paths, month)


def _scheme(prefix: str) -> str:
    return prefix.partition("://")[0] + "://..."  # the rest may hold a password


def _what(month: Month | None) -> str:
    return str(month) if month is not None else "the zone lookup"


# --- a folder -------------------------------------------------------------------------------------------------------


def _from_folder(folder: Path, paths: list[str], month: Month | None) -> Extracted:
    if not folder.is_dir():
        raise UsageError(f"source {str(folder)!r} is not a folder: write one, an http(s) prefix, `sample` or `tlc`")
    for path in paths:
        try:
            file = (folder / path).open("rb")
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unreadable(folder / path, error) from error
        with file:
            return _from_file(file, folder / path)
    raise NotPublished(f"{_what(month)}: no {Path(paths[0]).name} in {folder}; check the month and --source")


def _from_file(file: IO[bytes], path: Path) -> Extracted:
    """Copy an open file; raise `SourceUnavailable` when it changes meanwhile: the copy may be half old, half new."""
    before = os.fstat(file.fileno())
    found = _keep(path.name, _chunks(file, path))
    after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SourceUnavailable(f"{path} changed while it was read; run again when it is whole")
    return found


def _chunks(file: IO[bytes], path: Path) -> Iterator[bytes]:
    try:
        yield from iter(lambda: file.read(_CHUNK), b"")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> PermanentError:
    return PermanentError(f"{path}: {error.strerror}; check the file and its disk")


# --- http -----------------------------------------------------------------------------------------------------------


def _address(prefix: str) -> httpx.URL:
    try:
        address = httpx.URL(prefix.rstrip("/") + "/")
    except httpx.InvalidURL:
        raise UsageError(f"source {_scheme(prefix)} is not an address: write http(s)://host/folder") from None
    if address.userinfo or address.query or address.fragment:
        raise UsageError(
            f"source {address.scheme}://{address.host}: write it without user, password, query and fragment; "
            "a source stands in the history of every tool"
        )
    if not address.host:
        raise UsageError(f"source {prefix!r} names no host: write http(s)://host/folder")
    return address


def _from_http(prefix: httpx.URL, paths: list[str], month: Month | None) -> Extracted:
    answers = []
    with httpx.Client(timeout=TIMEOUT, follow_redirects=True) as client:
        for path in paths:
            found = _from_url(client, str(prefix.join(path)), Path(path).name)
            if isinstance(found, Extracted):
                return found
            answers.append(found)
    name = Path(paths[0]).name
    # The publisher answers 403, not 404, for a month that is not out (its bucket can't be listed).
    if month is not None and answers[0] == 403:
        raise NotPublished(f"{month} is not published yet: {prefix} answered 403 for {name}")
    raise NotPublished(f"{_what(month)}: {prefix} has no {name} ({answers[0]}); check the month and --source")


def _from_url(client: httpx.Client, url: str, name: str) -> Extracted | int:
    """The file at `url`, or the status 403 or 404 with which the server says that there is none."""
    entry = _index_path(url)
    known = _known(entry)
    kept = _kept(name, known) if known else None
    headers = {"Accept-Encoding": "identity"}
    if known and known.etag and kept:
        headers["If-None-Match"] = known.etag
    try:
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code == 304 and kept is not None:
                return kept
            if response.status_code in (403, 404):
                return response.status_code
            _check_status(response, url)
            fetched = _keep(name, response.iter_bytes(_CHUNK))
    except httpx.HTTPError as error:
        cause = str(error) or type(error).__name__
        raise SourceUnavailable(f"{url}: {cause}; the transfer did not end well") from error
    _write_index(entry, _Known(fetched.sha256, fetched.bytes, response.headers.get("etag")))
    return fetched


def _check_status(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status in (408, 425, 429) or status >= 500:
        raise SourceUnavailable(f"{url} answered {status}; the publisher may be busy")
    if status != 200:
        raise PermanentError(f"{url} answered {status}; check --source")


# --- files that are kept --------------------------------------------------------------------------------------------


def _index_path(url: str) -> Path:
    return settings().home / "files" / "index" / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def _known(entry: Path) -> _Known | None:
    try:
        return _Known(**json.loads(entry.read_text()))
    except (OSError, ValueError, TypeError):
        return None  # never fetched, or an entry that can't be read: fetch


def _write_index(entry: Path, known: _Known) -> None:
    with _temporary(entry.parent) as (file, temporary):
        file.write(json.dumps(asdict(known)).encode())
        file.flush()
        temporary.replace(entry)


def _kept(name: str, known: _Known) -> Extracted | None:
    """The kept file, if its bytes still have the recorded digest: a disk may rot, too."""
    path = _place(name, known.sha256)
    try:
        with path.open("rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest() == known.sha256
    except OSError:
        return None
    return Extracted(path, name, known.sha256, known.bytes) if whole else None


def _place(name: str, sha256: str) -> Path:
    return settings().home / "files" / sha256[:16] / name


def _keep(name: str, chunks: Iterable[bytes]) -> Extracted:
    """Stream `chunks` to a temporary name, look at the whole, rename it to its place."""
    with _temporary(settings().home / "files") as (file, temporary):
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
        file.flush()
        _check_format(temporary, name, size)
        place = _place(name, digest.hexdigest())
        place.parent.mkdir(exist_ok=True)
        temporary.replace(place)
    return Extracted(place, name, digest.hexdigest(), size)


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A temporary file in `folder`, gone at the end unless it was renamed. Raise `DiskFull` when it has no room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".part-", dir=folder, delete=False) as file:
            try:
                yield file.file, Path(file.name)
            finally:
                Path(file.name).unlink(missing_ok=True)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull(f"no room under {folder}: make some, then run again") from error
        raise PermanentError(f"{error.filename or folder}: {error.strerror}; check the state folder") from error


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a full disk, a quota, `ulimit -f`


def _check_format(path: Path, name: str, size: int) -> None:
    """Raise `BadFile` when the file is not what its name says. Only its ends are read: the loader reads the rest."""
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(max(0, size - 4))
        tail = file.read(4)
    if head.startswith(b"version https://git-lfs"):
        raise BadFile(f"{name} is a Git LFS pointer of {size} bytes: run `git lfs pull` where it comes from")
    if head.lstrip()[:1] == b"<":
        raise BadFile(f"{name} is a web page of {size} bytes: the source sent an error page under its name")
    if size == 0:
        raise BadFile(f"{name} is empty (0 bytes): fetch it again from the publisher")
    if name.endswith(".parquet") and head[:4] != b"PAR1":
        raise BadFile(f"{name} is not a parquet file: it begins with {head[:8]!r}")
    if name.endswith(".parquet") and (tail != b"PAR1" or size < 12):
        raise BadFile(f"{name} is cut off: {size} bytes that begin as parquet, without its end; fetch it again")
