"""A bucket of an object store as a source, read with obstore."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from core.errors import NotPublished, PermanentError, SourceUnavailable, UsageError
from core.extract import refusals
from core.extract.location import Location
from core.extract.source import Answer, Rest, strong
from core.settings import settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

BLOCK = 8 << 20
BLOCK_S = 60.0
"""An object is fetched in blocks of `BLOCK` bytes, each within `BLOCK_S` seconds: obstore limits only a request as a
whole, and a stalled connection would hold up the step until its time is over. A link of 140 KB/s is fast enough."""

# What a cut in the middle of a block may lose.
_PIECE = 1 << 16


class Bucket:
    """A folder of a bucket (S3, Google) or container (Azure).

    Credentials are in the environment, or in a profile that it names (`core.extract.aws_profile`).
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._store = _store(location)

    def _key(self, path: str) -> str | None:
        """Return the object's name; None when the path leads out of the bucket."""
        key = posixpath.normpath(f"{self._location.folder}/{path}".lstrip("/"))
        return None if key.startswith("../") else key

    def address(self, path: str) -> str:
        """See `Source`."""
        return self._label(self._key(path) or path)

    def _label(self, key: str) -> str:
        return f"{self._location.root}/{key}"

    @contextlib.contextmanager
    def get(self, path: str, unless: str | None, rest: Rest | None) -> Iterator[Answer]:
        """See `Source`."""
        key = self._key(path)
        if key is None:
            yield Answer("absent", said=refusals.NO_OBJECT)
            return
        start = rest.start if rest else 0
        block = self._request(key, start, {"if_none_match": unless, "if_match": rest.etag if rest else None})
        if rest and block in (refusals.CHANGED, refusals.PAST_END):
            with self.get(path, unless, None) as answer:
                yield answer
        elif block == refusals.PAST_END:
            yield Answer("file", size=0)
        elif isinstance(block, str):
            yield Answer("unchanged") if block == refusals.UNCHANGED else Answer("absent", said=block)
        else:
            size, etag = block.meta["size"], block.meta["e_tag"]
            yield Answer("file", self._blocks(key, block, start), start, size, strong(etag))

    def _request(self, key: str, start: int, conditions: dict[str, str | None]) -> Any:
        """Return the block that begins at `start`, or the reason (one of the words of `refusals`) why there is none."""
        import obstore

        options = {name: etag for name, etag in conditions.items() if etag} | {"range": (start, start + BLOCK)}
        try:
            return obstore.get(self._store, key, options=options)  # type: ignore[arg-type]  # a dict, put together
        except (OSError, obstore.exceptions.BaseError) as error:
            return refusals.reason(self._location, self._label(key), error)

    def _blocks(self, key: str, block: Any, start: int) -> Iterator[bytes]:
        """Yield the bytes from `start` on, those of `block` first. Later blocks are requested by its version, so that
        the file is never half old, half new.
        """
        import obstore

        size, etag = block.meta["size"], block.meta["e_tag"]
        while True:
            try:
                for piece in block.stream(min_chunk_size=_PIECE):
                    yield bytes(piece)
            except (OSError, obstore.exceptions.BaseError):
                raise SourceUnavailable(f"{self._label(key)}: the store sent only a part of it") from None
            start += BLOCK
            if start >= size:
                return
            if strong(etag) is None:
                raise PermanentError(
                    f"{self._label(key)}: the store has no version (ETag) by which to request its rest"
                )
            block = self._request(key, start, {"if_match": etag})
            if isinstance(block, str):
                raise SourceUnavailable(f"{self._label(key)} changed while it was read; run again when it is whole")

    def absent(self, what: str, name: str, said: list[str]) -> PermanentError:
        """See `Source`."""
        if refusals.FORBIDDEN in said:
            return refusals.forbidden(self._location, self.address(name), "403 AccessDenied")
        where = f"{self._location.root}{self._location.folder}"
        return NotPublished(f"{what}: no {name} in {where}; check the month and --source")


def _store(location: Location) -> ObjectStore:
    # Imported here and not at the top: most sources are no object stores, and obstore has 15 MB.
    import obstore
    from obstore.store import from_url

    from core.extract.aws_profile import aws_profile

    environment, variables = settings().passed_on, location.variables
    profile: Any = {"config": aws_profile(environment)} if location.scheme == "s3" else {}
    try:
        return from_url(
            location.root,
            **profile,
            retry_config={"max_retries": 0},
            client_options={
                "timeout": timedelta(seconds=BLOCK_S),
                "connect_timeout": timedelta(seconds=10),
                # These options replace all that obstore would read from the environment by itself.
                "allow_http": environment.get(f"{variables}ALLOW_HTTP", "").lower() == "true",
            },
        )
    except (ValueError, obstore.exceptions.BaseError) as error:
        # The message quotes the variable that can't be read. Only that one is missing is safe to pass on.
        is_missing = "Account must be specified" in str(error)
        why = f"{variables}STORAGE_ACCOUNT_NAME is not set" if is_missing else f"check {variables}*"
        raise UsageError(f"source {location.root} can't be opened with what the environment says: {why}") from None
