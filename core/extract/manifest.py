"""The digests that a publisher promises: a ``MANIFEST.sha256`` next to the files, as `sha256sum` writes it.

Rotten bits change values without an error. So where there is a manifest, a file must be listed in it and have the
digest that it promises. The same holds for a manifest one folder above that lists the file's folder. Where there is
none, the digest of the first load is in the ledger (`source_sha256`): bytes that rot later are another version there,
not the same rows.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from urllib.parse import unquote

from core.errors import BadFile, quoted
from core.extract.cache import Extracted
from core.extract.folder import Folder
from core.extract.source import Source
from core.extract.web import Web

MANIFEST = "MANIFEST.sha256"
"""The list of digests next to the files."""

MANIFEST_MB = 4.0
"""The largest manifest: it is read whole, and has 50,000 lines at this size."""


def places(source: Source, path: str) -> list[str]:
    """Return where a file's manifest may be: next to it, and one folder above, over a network within the source."""
    folder = posixpath.dirname(path)
    beside, above = (posixpath.normpath(posixpath.join(folder, step, MANIFEST)) for step in ("", ".."))
    return [beside, above] if isinstance(source, Folder) or not above.startswith("..") else [beside]


def check(source: Source, path: str, file: Extracted, place: str, manifest: Extracted) -> bool:
    """Compare the file at `path` with the manifest at `place`; return whether that manifest covers its folder.

    Raise `BadFile` when the manifest does not list the file, or promises other bytes, or can't be read.
    """
    where, above = source.address(place), place != places(source, path)[0]
    names = _names(_full_name(source, path), 2 if above else 1)
    digests = _promised(manifest.path, where)
    if above and not {posixpath.dirname(name) for name in names} & {posixpath.dirname(name) for name in digests}:
        return False
    promised = next((digests[name] for name in names if name in digests), None)
    if promised != file.sha256:
        raise _not_promised(file, where, names[0], promised, digests)
    return True


def _full_name(source: Source, path: str) -> str:
    address = source.address(path)
    if isinstance(source, Folder):
        return os.path.abspath(address)  # noqa: PTH100  # Path.resolve() follows links: a person sees their names
    return unquote(address) if isinstance(source, Web) else address


def _names(address: str, least: int) -> list[str]:
    """Return what a manifest may call the file, depending on where `sha256sum` ran: its last parts, `least` or more."""
    parts = address.split("/")
    return ["/".join(parts[-count:]) for count in range(least, len(parts) + 1)]


def _not_promised(file: Extracted, where: str, name: str, promised: str | None, digests: dict[str, str]) -> BadFile:
    if promised is not None:
        return BadFile(
            f"{file.name} has sha256 {file.sha256}, and {where} promises {promised}: fetch the file again from "
            "the publisher, or correct the manifest if the file was replaced on purpose"
        )
    if other := next((each for each in digests if posixpath.basename(each) == file.name), None):
        return BadFile(
            f"{where} lists {quoted(other)}, and not {name}: it was made in another folder; make it in its own "
            f"(sha256sum * > {MANIFEST})"
        )
    return BadFile(f"{file.name} is not in {where}: if it is right, add it there (sha256sum {name} >> {MANIFEST})")


_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](?:\./)?([^\0]+)")


def _promised(path: Path, where: str) -> dict[str, str]:
    """Return the digest of each name; raise `BadFile` naming the first line that `sha256sum` would not write."""
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
