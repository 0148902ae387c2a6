"""What the command line's arguments mean, checked before anything is started."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from core.errors import PermanentError, UsageError
from core.lab.protocol import write_json
from core.month import Month
from core.run import HELP


def names(schemas: str) -> list[str]:
    """Return the comma-separated names. Raise `UsageError` when there is none, or one can't be a schema's."""
    from core.database import check_schema_name

    listed = [name.strip() for name in schemas.split(",") if name.strip()]
    if not listed:
        raise UsageError(f"--schemas {schemas!r} names no schema; write plain,airflow")
    return [check_schema_name(name) for name in listed]


def resolve_source(source: str, months: Iterable[Month]) -> str:
    """Return the source as the runners take it: a folder by its full path.

    Raise `UsageError` when it is none, or is the sample data and lacks one of `months`: before an orchestrator writes
    it into its history.
    """
    if source == "sample":
        from core.extract.sample import check_month

        for month in months:
            check_month(month)
    elif "://" in source:
        from core.extract import check_source

        check_source(source)
    elif source != "tlc":
        if not os.path.isdir(source):  # noqa: PTH112  # Path.is_dir() raises on a name that is too long
            raise UsageError(f"--source {source}: no such folder; write {HELP['source']}")
        return str(Path(source).absolute())
    return source


STDOUT = Path("-")
"""The file name of `--json` that means standard output."""


def check_json(path: Path | None) -> None:
    """Raise `UsageError` when `--json` names a file that can't be written: this must not fail after hours of work."""
    if path in (None, STDOUT):
        return
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--json {path}: there is no folder {folder}")
    # A device would be replaced by a file.
    if path.exists() and not path.is_file():
        raise UsageError(f"--json {path}: this is no regular file; name one, or one that does not exist yet")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--json {path}: you may not write to the folder {folder}")


def write(path: Path | None, data: object) -> bool:
    """Write the file of `--json` if there is one; return whether standard output is free for what a person reads.

    Raise `PermanentError` when the file can't be written.
    """
    if path == STDOUT:
        print(json.dumps(data, indent=1))
        return False
    if path is None:
        return True
    try:
        write_json(path.resolve(), data)
    except OSError as error:
        raise PermanentError(f"--json {path}: {error.strerror}; the tables are as the ledger says") from error
    return True
