"""The fetched files, kept under their digest, and an index of the addresses that they came from.

    <home>/files/<first 16 digits of the sha256>/green_tripdata_2024-01.parquet
    <home>/files/index/<of the address>.json        what was last fetched from there: digest, bytes, ETag
    <home>/files/parts/                             what had arrived when a transfer was cut (`core.extract.resume`)

So the file that a load reads never changes while it is read, and a file that the publisher replaces never disturbs a
run that reads the old one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from core.extract.resume import Partial
from core.settings import private, settings


@dataclass(frozen=True)
class Extracted:
    """A verified local file. `name` is the published name, for messages; `sha256` and `bytes` describe its content.

    `address` is where the source has it, without a secret.
    """

    path: Path
    name: str
    sha256: str
    bytes: int
    address: str = ""


@dataclass(frozen=True)
class Known:
    """What the index records of an address."""

    sha256: str
    bytes: int
    etag: str | None = None


def folder() -> Path:
    """Return the folder of all fetched files."""
    return settings().home / "files"


def key(address: str) -> str:
    """Return the name under which the index and the parts know an address."""
    # The name of a folder need not be UTF-8.
    return hashlib.sha256(address.encode(errors="surrogateescape")).hexdigest()[:32]


# --- the index ------------------------------------------------------------------------------------------------------


def _entry(address: str) -> Path:
    return folder() / "index" / f"{key(address)}.json"


def known(address: str) -> Known | None:
    """Return what was last fetched from an address; None when nothing was, or the entry can't be read."""
    try:
        return Known(**json.loads(_entry(address).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def remember(address: str, entry: Known) -> None:
    """Record what was fetched from an address."""
    path = _entry(address)
    private(path.parent)
    written = Partial.temporary(folder())
    try:
        written.write(json.dumps(asdict(entry)).encode())
        written.flush()
        written.publish(path)
    except BaseException:
        written.discard()
        raise


def forget(address: str) -> None:
    """Drop what was recorded, so that the next attempt fetches the file again."""
    _entry(address).unlink(missing_ok=True)


# --- the files ------------------------------------------------------------------------------------------------------


def _place(name: str, sha256: str) -> Path:
    return folder() / sha256[:16] / name


def kept(name: str, entry: Known) -> Extracted | None:
    """Return the kept file, if its bytes still have the recorded digest: a disk may rot."""
    path = _place(name, entry.sha256)
    try:
        with path.open("rb") as file:
            is_whole = hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
    except OSError:
        return None
    return Extracted(path, name, entry.sha256, entry.bytes) if is_whole else None


def keep(name: str, part: Partial) -> Extracted:
    """Rename a whole file to its place under its digest."""
    place = _place(name, part.sha256)
    private(place.parent)
    part.publish(place)
    return Extracted(place, name, part.sha256, part.size)
