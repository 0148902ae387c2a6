"""From a source to a verified local file.

A file is streamed to a temporary name while its SHA-256 is computed, inspected, and renamed only when it is whole. It
is then kept under its digest (`core.extract.cache`). A second extract asks the publisher only whether the file has
changed, and checks the digest of the kept file before it is used again. It asks by ETag alone: Last-Modified counts
seconds, and misses a file that is replaced within one. Last, the file is compared with the publisher's manifest, where
there is one (`core.extract.manifest`).
"""

from __future__ import annotations

import logging
import posixpath
import time
from dataclasses import replace
from pathlib import Path

from core.datasets import Dataset
from core.errors import BadFile, masked, printable, room
from core.extract import cache, manifest
from core.extract.address import opened
from core.extract.cache import Extracted, Known
from core.extract.manifest import MANIFEST, MANIFEST_MB
from core.extract.resume import Partial
from core.extract.source import Answer, Source
from core.extract.transfer import Transfer
from core.extract.web import Web
from core.month import Month
from core.settings import settings

_log = logging.getLogger(__name__)

LOOKUP_MB = 4.0
"""The largest lookup. A real one has 12 KB; its keys are kept in memory, to see that each is unique: 60 MB at most."""

_PAGE = "a web page"
"""Single-page apps and login portals send one, with status 200, for whatever does not exist. So the file may be in the
next place, and without a manifest it is loaded. A portal that hid an existing manifest would hide the files too, and a
page is never taken for a file."""


def extract(dataset: Dataset, source: str, month: Month | None = None) -> Extracted:
    """Fetch the dataset's file for `month` from `source`: ``sample``, ``tlc``, a folder, an http(s) prefix or a bucket.

    Raise `NotPublished` when the source has no such file; `BadFile` when what it sends is not one, is larger than
    `Settings.max_file_mb`, or differs from its manifest; `SourceUnavailable` when it does not answer, or sends only a
    part; `DiskFull`; `PermanentError` for a refusal; and `UsageError` when `source` is not a source.
    """
    paths = [path.format(month=month) for path in dataset.paths]
    said = []
    with opened(source) as place:
        for path in paths:
            found = _fetch(place, path, settings().max_file_mb if dataset.monthly else LOOKUP_MB)
            if isinstance(found, Extracted):
                _check_manifest(place, path, found)
                return replace(found, address=masked(place.address(path)))
            said.append(found)
        if page := next((text for text in said if text.startswith(_PAGE)), None):
            raise BadFile(f"{Path(paths[0]).name} is {page}: the source sent an error page under its name")
        what = str(month) if month is not None else "the zone lookup"
        raise place.absent(what, Path(paths[0]).name, said)


def _fetch(source: Source, path: str, limit_mb: float) -> Extracted | str:
    """Return the file at `path`, or how the source says that there is none."""
    name, address = posixpath.basename(path), source.address(path)
    shown = printable(masked(address))
    entry = cache.known(address)
    kept = cache.kept(name, entry) if entry else None
    started = time.monotonic()
    with room(cache.folder()):
        result = Transfer(source, path, limit_mb).run(entry.etag if entry and kept else None)
        if isinstance(result, Answer):
            if result.state != "unchanged" or kept is None:
                return result.said
            _log.info("%s is unchanged: using the kept file of %s bytes", shown, f"{kept.bytes:,}")
            return kept
        if isinstance(source, Web) and _is_page(result):
            result.discard()
            return f"{_PAGE} of {result.size} bytes"
        fetched = _keep(name, result)
        if result.etag is not None:
            cache.remember(address, Known(fetched.sha256, fetched.bytes, result.etag))
    _log.info("fetched %s: %s bytes in %.2f s", shown, f"{fetched.bytes:,}", time.monotonic() - started)
    return fetched


def _check_manifest(source: Source, path: str, file: Extracted) -> None:
    for place in manifest.places(source, path):
        # 403 and 404 are answers: this publisher has no manifest there.
        if not isinstance(promised := _fetch(source, place, MANIFEST_MB), Extracted):
            continue
        try:
            covers = manifest.check(source, path, file, place, promised)
        except BadFile:
            # Otherwise the next attempt would take the file as unchanged.
            cache.forget(source.address(path))
            raise
        if covers:
            _log.info("%s has the sha256 that %s promises", file.name, MANIFEST)
            return


# --- what the file is -----------------------------------------------------------------------------------------------


def _keep(name: str, part: Partial) -> Extracted:
    """Inspect the whole file, then keep it."""
    try:
        part.flush()
        _check_format(part.path, name, part.size)
        return cache.keep(name, part)
    except BaseException:
        part.discard()
        raise


def _is_page(part: Partial) -> bool:
    part.flush()
    with part.path.open("rb") as file:
        return file.read(512).lstrip()[:1] == b"<"


def _check_format(path: Path, name: str, size: int) -> None:
    """Raise `BadFile` when the file is not what its name says. Only its ends are read: the loader reads the rest."""
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(max(0, size - 4))
        tail = file.read(4)
    if head.startswith(b"version https://git-lfs"):
        raise BadFile(f"{name} is a Git LFS pointer of {size} bytes: run `git lfs pull` where it comes from")
    if head.lstrip()[:1] == b"<":
        why = f"write it with `sha256sum * > {MANIFEST}`, or delete it: none is needed"
        sent = "the source sent an error page under its name"
        raise BadFile(f"{name} is a web page of {size} bytes: {why if name == MANIFEST else sent}")
    if size == 0:
        raise BadFile(f"{name} is empty (0 bytes): fetch it again from the publisher")
    if name.endswith(".parquet") and head[:4] != b"PAR1":
        raise BadFile(f"{name} is not a parquet file: it begins with {head[:8]!r}")
    if name.endswith(".parquet") and (tail != b"PAR1" or size < 12):
        raise BadFile(f"{name} is cut off: {size} bytes that begin as parquet, without its end; fetch it again")
