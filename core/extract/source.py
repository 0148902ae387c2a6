"""What a source of published files is: the question that it is asked, and how it answers.

A folder, an http(s) prefix and a bucket answer the same question: "the file at this path; not if it is still that
version; only the rest of this version". Each translates what goes wrong into the classes of `core.errors`. A source
repeats a request only when the answer calls for it: a rest that no longer fits is requested as a whole file. Retries
are left to the orchestrators.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from core.errors import PermanentError, SourceUnavailable


@dataclass(frozen=True)
class Rest:
    """The missing part of a file: `start` bytes of the version `etag` have arrived."""

    etag: str
    start: int


@dataclass(frozen=True)
class Answer:
    """A source's answer to a request.

    With state ``file``, `chunks` are its bytes from `start` on, `size` is the size of the whole file, where the source
    tells it, and `etag` is the version, where it has a strong one. With ``absent``, `said` is how the source put it.
    """

    state: Literal["file", "unchanged", "absent"]
    chunks: Iterable[bytes] = ()
    start: int = 0
    size: int | None = None
    etag: str | None = None
    said: str = ""


class Source(Protocol):
    """A place with published files."""

    def address(self, path: str) -> str:
        """Return what messages and the index call the file at `path`; without a secret."""

    def get(self, path: str, unless: str | None, rest: Rest | None) -> contextlib.AbstractContextManager[Answer]:
        """Request the file at `path`; the answer is ``unchanged`` when its version is still `unless`.

        With `rest`, the answer may begin at its `start`, if the file is still that version; otherwise it is the whole
        file. Raise `SourceUnavailable` when no answer comes, or only part of it, and `PermanentError` for a refusal.
        """

    def absent(self, what: str, name: str, said: list[str]) -> PermanentError:
        """Return the error for a file that is nowhere: `what` it was for, its name, and the answer from each place."""


# --- what sources on a network have in common -----------------------------------------------------------------------


def scheme_of(prefix: str) -> str:
    """Return an address for a message: only its scheme, because the rest may hold a password."""
    return prefix.partition("://")[0] + "://..."


def strong(etag: str | None) -> str | None:
    """Return an ETag if it identifies these very bytes; a weak one may stand for others that mean the same."""
    # A letter outside ASCII can't be sent back.
    return etag if etag and etag.startswith('"') and etag.isascii() else None


def bad_status(
    status: int, what: str, code: str = "", wait_s: float | None = None
) -> PermanentError | SourceUnavailable:
    """Return the error for an HTTP status that is no answer; `wait_s` is the pause that the server asked for."""
    answered = f"{what} answered {status}" + (f" ({code})" if code else "")
    if not (status in (408, 425, 429) or status >= 500):
        return PermanentError(f"{answered}; check --source")
    if wait_s is None:
        return SourceUnavailable(f"{answered}; the publisher may be busy")
    error = SourceUnavailable(f"{answered} and asks to wait {wait_s:.0f} s; run again after that")
    error.wait_s = wait_s
    return error


def untrusted(host: str, why: str) -> PermanentError:
    """Return the error for a host whose certificate is not trusted."""
    return PermanentError(f"{host} has no certificate to be trusted ({why}): name its authority in SSL_CERT_FILE")


def no_such_name(what: str, name: str, named_in: str) -> SourceUnavailable:
    """Return the error for a host whose `name` can't be looked up. A resolver says the same offline and for a typo."""
    return SourceUnavailable(f"{what}: no network: {name} can't be looked up; if there is a network, check {named_in}")
