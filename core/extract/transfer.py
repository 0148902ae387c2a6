"""One file on its way from a source, within its limits of size and time.

A transfer that is cut continues where it was cut: in the same attempt as long as bytes keep coming, and otherwise in
the next one.
"""

from __future__ import annotations

import logging
import time

from core.errors import BadFile, PermanentError, SourceUnavailable, masked, printable
from core.extract import cache
from core.extract.resume import Partial
from core.extract.source import Answer, Source
from core.settings import settings

_log = logging.getLogger(__name__)

CONTINUATIONS = 5
"""How often one attempt continues a transfer that was cut after bytes had come: for a flaky link, not for a broken
publisher."""

WAIT_S = 60.0
"""The longest that an attempt waits when the publisher asks for it (Retry-After), and only once. A longer pause is left
to whoever runs the step again."""


class Transfer:
    """The transfer of the file at `path`, which may have `limit_mb` at most."""

    def __init__(self, source: Source, path: str, limit_mb: float) -> None:
        self._source, self._path = source, path
        self._address = source.address(path)
        self._limit_mb, self._seconds = limit_mb, settings().download_s
        self._deadline = time.monotonic() + self._seconds
        self._folder, self._key = cache.folder() / "parts", cache.key(self._address)
        self._part: Partial | None = None
        self._received = 0
        self._has_waited = False

    def run(self, unless: str | None) -> Partial | Answer:
        """Return the whole file, or an answer without one. What arrived before a failure stays for the next attempt."""
        self._part = Partial.leftover(self._folder, self._key)
        if self._part:
            self._info("%s bytes of %s are left from an earlier attempt", f"{self._part.size:,}", self._address)
        try:
            answer = self._until_whole(unless)
        except (PermanentError, OSError):
            # The bytes are not wanted, or there is no room for them.
            self._drop()
            raise
        except BaseException:
            # Also an orchestrator that ends its task.
            if self._part:
                self._part.leave()
            raise
        if answer.state != "file":
            self._drop()
            return answer
        assert self._part is not None
        return self._part

    def _until_whole(self, unless: str | None) -> Answer:
        for turn in range(1, 2 + CONTINUATIONS):
            before = self._received
            try:
                return self._once(unless)
            except SourceUnavailable as error:
                rest = self._part.rest if self._part else None
                if turn > CONTINUATIONS or self._received == before or rest is None or self._is_late:
                    raise
                self._info("resuming at byte %s (%d of %d): %s", f"{rest.start:,}", turn, CONTINUATIONS, error)
        raise AssertionError("the last turn returns or raises")

    def _once(self, unless: str | None) -> Answer:
        try:
            return self._request(unless)
        except SourceUnavailable as error:
            if not self._wait(error):
                raise
        return self._request(unless)

    def _wait(self, error: SourceUnavailable) -> bool:
        """Wait as long as the publisher asks, unless that is too long for an attempt; return whether it waited."""
        end = time.monotonic() + (error.wait_s or 0)
        if error.wait_s is None or error.wait_s > WAIT_S or self._has_waited or end > self._deadline:
            return False
        self._has_waited = True
        self._info("waiting %.0f s: %s", error.wait_s, error)
        while (left := end - time.monotonic()) > 0:
            # An orchestrator that ends its task in a thread is heard between two of these.
            time.sleep(min(left, 1.0))
        return True

    def _request(self, unless: str | None) -> Answer:
        rest = self._part.rest if self._part else None
        with self._source.get(self._path, unless, rest) as answer:
            if answer.state == "file":
                self._receive(answer)
        return answer

    def _receive(self, answer: Answer) -> None:
        part = self._part
        if part is None or (part.etag, part.size) != (answer.etag, answer.start):
            if part is not None and part.size:
                self._info("starting %s over: it came whole, or in another version", self._address)
            self._drop()
            part = self._part = Partial.new(self._folder, self._key, answer.etag)
        self._check_size(answer.size or 0)
        for chunk in answer.chunks:
            part.write(chunk)
            self._received += len(chunk)
            self._check_size(part.size)
            if self._is_late:
                limit = f"{self._seconds:g} s (TRIPTYCH_DOWNLOAD_S)"
                raise SourceUnavailable(f"{self._address}: {part.size} bytes came in {limit}, and not the end")
        if answer.size not in (None, part.size):
            raise SourceUnavailable(f"{self._address}: {part.size} of {answer.size} bytes came")

    @property
    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _check_size(self, size: int) -> None:
        if size > self._limit_mb * 1e6:
            is_adjustable = self._limit_mb == settings().max_file_mb
            remedy = "if that is right, raise TRIPTYCH_MAX_FILE_MB" if is_adjustable else "is it the right file?"
            raise BadFile(
                f"{self._address} has {size / 1e6:.1f} MB or more, and {self._limit_mb:g} MB is the limit; {remedy}"
            )

    def _drop(self) -> None:
        if self._part is not None:
            self._part.discard()
            self._part = None

    def _info(self, line: str, *facts: object) -> None:
        """Log a line, safe for a terminal whatever the source is called."""
        _log.info("%s", printable(masked(line % facts)))
