"""From a source to a verified local file.

A file is streamed to another name, its SHA-256 computed on the way, looked at, and renamed only when whole. It is
then kept under its digest, so the file that a load reads never changes under it, and a file that the publisher replaces
never disturbs a run that reads the old one:

    <home>/files/<first 16 digits of the sha256>/green_tripdata_2024-01.parquet
    <home>/files/index/<of the address>.json        what was last fetched from there: digest, bytes, ETag
    <home>/files/parts/                             what came before a transfer was cut (`core.extract.partial`)

A second extract asks the publisher only whether the file has changed, and checks the kept file's digest before it is
used again. It asks by ETag alone: Last-Modified counts seconds, and misses a file that is replaced within one.

A transfer that is cut goes on where it was cut, in the same attempt as long as bytes keep coming, and else in the next one.

Where a ``MANIFEST.sha256`` lies beside the file (as `sha256sum` writes it), the file must be in it and have the digest that it
promises: rotten bits change values without an error. So it is for one in the folder above that lists the file's folder. Where
there is none, the first load's digest stands in the ledger (`source_sha256`): bytes that rot later are another version
there, not the same rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote

from core.datasets import Dataset
from core.errors import BadFile, PermanentError, SourceUnavailable, quoted, room
from core.extract.partial import Partial
from core.extract.sources import Answer, Folder, Source, Web, opened
from core.month import Month
from core.settings import private, settings

CONTINUATIONS = 5
"""How often one attempt takes up a transfer that was cut after bytes had come: a flaky link, not a broken publisher."""

WAIT_S = 60.0
"""An attempt waits at most so long when the publisher asks it to (Retry-After), and once. A longer pause is left to who runs it again."""

MANIFEST = "MANIFEST.sha256"
"""The list of digests beside the files."""

MANIFEST_MB = 4.0
"""It is read whole: 50,000 lines."""

_PAGE = "a web page"
"""Single-page apps and login portals answer so, with status 200, for whatever is not there: it may be in the next place, and without
a manifest a file is loaded. A portal that hid a manifest that is there would hide the files too, and a page is never taken for a file."""

LOOKUP_MB = 4.0
"""A lookup has 12 KB, and its keys are kept while it is read, to see that each is there once: 60 MB at most."""


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
    """Fetch the dataset's file for `month` from `source`: a folder, an http(s) prefix, a bucket, or ``tlc``.

    Raise `NotPublished` when the source has no such file, `BadFile` when what it has is not one, is larger than
    `Settings.max_file_mb` or not what its manifest promises, `SourceUnavailable` when it does not answer or not with the
    whole, `DiskFull`, `PermanentError` for a refusal, and `UsageError` on a source that is none.
    """
    paths = [path.format(month=month) for path in dataset.paths]
    said = []
    with opened(settings().tlc_url if source == "tlc" else source) as place:
        for path in paths:
            found = _fetch(place, path, settings().max_file_mb if dataset.monthly else LOOKUP_MB)
            if isinstance(found, Extracted):
                _check_manifest(place, path, found)
                return found
            said.append(found)
        if page := next((text for text in said if text.startswith(_PAGE)), None):
            raise BadFile(f"{Path(paths[0]).name} is {page}: the source sent an error page under its name")
        what = str(month) if month is not None else "the zone lookup"
        raise place.absent(what, Path(paths[0]).name, said)


def _fetch(source: Source, path: str, limit_mb: float) -> Extracted | str:
    """The file at `path`, or how the source says that there is none."""
    name, entry = posixpath.basename(path), _index_path(source.address(path))
    known = _known(entry)
    kept = _kept(name, known) if known else None
    with room(settings().home / "files"):
        came = _Transfer(source, path, limit_mb).run(known.etag if known and kept else None)
        if isinstance(came, Answer):
            return kept if came.state == "unchanged" and kept else came.said
        if isinstance(source, Web) and _is_page(came):
            came.discard()
            return f"{_PAGE} of {came.size} bytes"
        fetched = _keep(name, came)
        if came.etag is not None:
            _write_index(entry, _Known(fetched.sha256, fetched.bytes, came.etag))
    return fetched


# --- on its way -----------------------------------------------------------------------------------------------------


class _Transfer:
    """One file on its way from a source, within its limits of size and time."""

    def __init__(self, source: Source, path: str, limit_mb: float) -> None:
        self._source, self._path = source, path
        self._address = source.address(path)
        self._limit_mb, self._seconds = limit_mb, settings().download_s
        self._deadline = time.monotonic() + self._seconds
        self._folder, self._key = settings().home / "files" / "parts", _key(self._address)
        self._part: Partial | None = None
        self._received = 0
        self._has_waited = False

    def run(self, unless: str | None) -> Partial | Answer:
        """The whole file, or an answer without one. If the source fails, what came of it stays for the next attempt."""
        self._part = Partial.left(self._folder, self._key)
        try:
            answer = self._until_whole(unless)
        except (PermanentError, OSError):  # what is here is not wanted, or has no room
            self._drop()
            raise
        except BaseException:  # a tool that ends its task, too
            if self._part:
                self._part.leave()
            raise
        if answer.state != "file":
            self._drop()
            return answer
        assert self._part is not None
        return self._part

    def _until_whole(self, unless: str | None) -> Answer:
        for turn in range(1 + CONTINUATIONS):
            before = self._received
            try:
                return self._once(unless)
            except SourceUnavailable:
                resumable = self._part is not None and self._part.rest is not None
                if turn == CONTINUATIONS or self._received == before or not resumable or self._is_late:
                    raise
        raise AssertionError("the last turn returns or raises")

    def _once(self, unless: str | None) -> Answer:
        try:
            return self._ask(unless)
        except SourceUnavailable as error:
            if not self._wait(error.wait_s):
                raise
        return self._ask(unless)

    def _wait(self, asked_s: float | None) -> bool:
        """Wait as long as the publisher asks, where an attempt does that; return whether it did."""
        end = time.monotonic() + (asked_s or 0)
        if asked_s is None or asked_s > WAIT_S or self._has_waited or end > self._deadline:
            return False
        self._has_waited = True
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))  # a tool that ends its task in a thread is heard between two of these
        return True

    def _ask(self, unless: str | None) -> Answer:
        rest = self._part.rest if self._part else None
        with self._source.get(self._path, unless, rest) as answer:
            if answer.state == "file":
                self._take(answer)
        return answer

    def _take(self, answer: Answer) -> None:
        part = self._part
        if part is None or (part.etag, part.size) != (answer.etag, answer.start):
            self._drop()
            part = self._part = Partial.new(self._folder, self._key, answer.etag)
        self._check_size(answer.size or 0)
        for chunk in answer.chunks:
            part.write(chunk)
            self._received += len(chunk)
            self._check_size(part.size)
            if self._is_late:
                raise SourceUnavailable(
                    f"{self._address}: {part.size} bytes came in {self._seconds:g} s (TRIPTYCH_DOWNLOAD_S), and not the end"
                )
        if answer.size not in (None, part.size):
            raise SourceUnavailable(f"{self._address}: {part.size} of {answer.size} bytes came")

    @property
    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _check_size(self, size: int) -> None:
        if size > self._limit_mb * 1e6:
            mend = "if that is right, raise TRIPTYCH_MAX_FILE_MB"
            raise BadFile(
                f"{self._address} has {size / 1e6:.1f} MB or more, and {self._limit_mb:g} MB is the limit; "
                f"{mend if self._limit_mb == settings().max_file_mb else 'is it the right file?'}"
            )

    def _drop(self) -> None:
        if self._part is not None:
            self._part.discard()
            self._part = None


# --- what the publisher promises ------------------------------------------------------------------------------------


def _check_manifest(source: Source, path: str, file: Extracted) -> None:
    """Raise `BadFile` when a manifest beside the file, or one above that lists its folder, does not list it or promises other bytes."""
    for above, place in enumerate(_manifest_places(source, path)):
        manifest = _fetch(source, place, MANIFEST_MB)
        if not isinstance(manifest, Extracted):
            continue  # 403 and 404 are answers: this publisher has none
        where, names = source.address(place), _names(_full_name(source, path), 1 + above)
        digests = _promised(manifest.path, where)
        if above and not {posixpath.dirname(name) for name in names} & {posixpath.dirname(name) for name in digests}:
            continue  # it is about other folders
        promised = next((digests[name] for name in names if name in digests), None)
        if promised != file.sha256:
            _index_path(source.address(path)).unlink(missing_ok=True)  # the next attempt must not take it as unchanged
            raise _not_promised(file, where, names[0], promised, digests)
        return


def _manifest_places(source: Source, path: str) -> list[str]:
    """Where a manifest of the file may be: beside it, and one folder above. Over a network nothing above the source is asked for."""
    folder = posixpath.dirname(path)
    beside, above = (posixpath.normpath(posixpath.join(folder, step, MANIFEST)) for step in ("", ".."))
    return [beside, above] if isinstance(source, Folder) or not above.startswith("..") else [beside]


def _full_name(source: Source, path: str) -> str:
    address = source.address(path)
    if isinstance(source, Folder):
        return os.path.abspath(address)  # noqa: PTH100  # Path.resolve() follows links: a person sees their names
    return unquote(address) if isinstance(source, Web) else address


def _names(address: str, least: int) -> list[str]:
    """What a manifest may call the file, by the folder in which `sha256sum` was run: its last parts, at least so many."""
    parts = address.split("/")
    return ["/".join(parts[-count:]) for count in range(least, len(parts) + 1)]


def _not_promised(file: Extracted, where: str, name: str, promised: str | None, digests: dict[str, str]) -> BadFile:
    if promised is not None:
        return BadFile(
            f"{file.name} has sha256 {file.sha256}, and {where} promises {promised}: fetch the file again from "
            "the publisher, or mend the manifest if the file was replaced on purpose"
        )
    if other := next((each for each in digests if posixpath.basename(each) == file.name), None):
        return BadFile(
            f"{where} lists {quoted(other)}, and not {name}: it was made in another folder; make it in its own "
            f"(sha256sum * > {MANIFEST})"
        )
    return BadFile(f"{file.name} is not in {where}: if it is right, add it there (sha256sum {name} >> {MANIFEST})")


_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](?:\./)?([^\0]+)")


def _promised(path: Path, where: str) -> dict[str, str]:
    """Name -> digest, as `sha256sum` writes them; raise `BadFile` naming the first line that is no such pair."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise BadFile(f"{where} is not text: write it with `sha256sum * > {MANIFEST}`") from None
    digests: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None and line.strip():
            raise BadFile(f"{where}: line {number} is not `<sha256>  <name>`: write it with `sha256sum * > {MANIFEST}`")
        if match and digests.setdefault(match[2], match[1].lower()) != match[1].lower():
            raise BadFile(
                f"{where}: line {number} promises a second digest for {quoted(repr(match[2]))}; leave one of them"
            )
    return digests


# --- files that are kept --------------------------------------------------------------------------------------------


def _index_path(url: str) -> Path:
    return settings().home / "files" / "index" / f"{_key(url)}.json"


def _key(url: str) -> str:
    return hashlib.sha256(url.encode(errors="surrogateescape")).hexdigest()[:32]  # a folder's name need not be UTF-8


def _known(entry: Path) -> _Known | None:
    try:
        return _Known(**json.loads(entry.read_text()))
    except (OSError, ValueError, TypeError):
        return None  # never fetched, or an entry that can't be read: fetch


def _write_index(entry: Path, known: _Known) -> None:
    private(entry.parent)
    written = Partial.temporary(entry.parent.parent)
    try:
        written.write(json.dumps(asdict(known)).encode())
        written.flush()
        written.publish(entry)
    except BaseException:
        written.discard()
        raise


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


def _keep(name: str, came: Partial) -> Extracted:
    """Look at the whole file, then rename it to its place."""
    try:
        came.flush()
        _check_format(came.path, name, came.size)
        place = _place(name, came.sha256)
        private(place.parent)
        came.publish(place)
    except BaseException:
        came.discard()
        raise
    return Extracted(place, name, came.sha256, came.size)


def _is_page(came: Partial) -> bool:
    came.flush()
    with came.path.open("rb") as file:
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
