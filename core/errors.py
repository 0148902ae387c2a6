"""Every error of the pipeline. The class decides whether a step is tried again.

    TriptychError
    ├── TransientError          may end by itself: retried, on every orchestrator alike
    │   ├── SourceUnavailable   the publisher timed out, answered 429 or 5xx, or cut the transfer
    │   ├── DatabaseUnavailable PostgreSQL did not answer, or went away during the work
    │   └── Busy                a lock was not free within its deadline, or another attempt published in between
    └── PermanentError          the same input leads to the same error: never retried
        ├── UsageError          a wrong call: month, schema, strategy, source (exit code 2)
        ├── NotPublished        the publisher has no such month (its 403)
        ├── BadFile             not a whole parquet or CSV file
        ├── SchemaDrift         a column, a type or a value that the declaration does not cover
        ├── SuspectFile         a whole file that is probably not what was meant: --accept-suspect publishes it
        ├── DiskFull            no room for a file, or for PostgreSQL
        ├── TransformFailed     dbt could not build a model
        └── CheckFailed         a data test on the built tables failed

A message says what happened, with which value, and what to do next, in one line and without a secret. It may quote
names that somebody else chose: characters that are not printable (line breaks, a terminal's escapes) are written as
Python writes them in a string, and passwords as ***.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar


class TriptychError(Exception):
    """Base of every error that this project raises on purpose."""

    retries: ClassVar[int] = 0
    """How often a step that raised this error is tried again."""

    def __init__(self, message: str = "") -> None:
        super().__init__(printable(masked(message)))


def masked(text: str) -> str:
    """Return `text` without the password of any address or connection string in it."""
    text = re.sub(r"(://[^:/@\s]*:)\S*@", r"\1***@", text)
    return re.sub(r"(?i)(password=)('(?:[^'\\]|\\.)*'|\S+)", r"\1***", text)


def printable(text: str) -> str:
    """Return `text` on one line, safe for a terminal, a log and a database, whatever it contains."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def quoted(text: object, letters: int = 60) -> str:
    """Return text that somebody else wrote as a message may quote it: `printable`, and at most `letters` long."""
    line = printable(str(text)[: letters + 1])
    return line if len(line) <= letters else f"{line[: letters - 3]}..."


# Two retries, a constant delay apart: the only back-off that the three orchestrators can share exactly. Airflow adds
# jitter to its exponential one, and Dagster's exponents (1, 3, 7) differ from Prefect's (1, 2, 4).
RETRIES = 2
RETRY_DELAY_S = 2


class TransientError(TriptychError):
    """A fault that may end by itself."""

    retries = RETRIES


class SourceUnavailable(TransientError):
    """The publisher did not answer, or did not send the whole file."""

    wait_s: float | None = None
    """The pause that the publisher asked for (Retry-After), if it did."""


class DatabaseUnavailable(TransientError):
    """PostgreSQL did not answer, or ended the connection."""


class Busy(TransientError):
    """Another session held a lock past the deadline, or another attempt published something that may be newer."""


class PermanentError(TriptychError):
    """A fault that another attempt would meet again."""


class UsageError(PermanentError):
    """A wrong call: the value named does not exist or is malformed."""


class NotPublished(PermanentError):
    """The publisher has no file for this month."""


class BadFile(PermanentError):
    """The file is not a whole file of its format."""


class SchemaDrift(PermanentError):
    """The file's columns or values are not what the dataset declares."""


class SuspectFile(PermanentError):
    """The file is whole, and probably not the one that was meant: ``--accept-suspect`` publishes it."""


class DiskFull(PermanentError):
    """No room is left; free some, then run again."""


class TransformFailed(PermanentError):
    """dbt could not build a model."""


class CheckFailed(PermanentError):
    """A data test failed on the tables that were built."""


# A full disk, a quota, `ulimit -f`
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def room(folder: Path) -> Iterator[None]:
    """Raise `DiskFull` when the block runs out of room in `folder`, and `PermanentError` for any other `OSError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull(f"no room under {folder}: make some, then run again") from error
        raise PermanentError(f"{error.filename or folder}: {error.strerror}; check the state folder") from error
