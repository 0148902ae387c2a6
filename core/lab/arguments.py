"""What the command line's arguments mean, checked before anything is started."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from core.errors import PermanentError, UsageError
from core.lab.protocol import write_json
from core.month import Month
from core.settings import Settings, private, state_folder


def names(schemas: str) -> list[str]:
    """Return the comma-separated names. Raise `UsageError` when there is none, or one can't be a schema's."""
    from core.database import check_schema_name

    listed = [name.strip() for name in schemas.split(",") if name.strip()]
    if not listed:
        raise UsageError(f"--schemas {schemas!r} names no schema; write plain,airflow")
    return [check_schema_name(name) for name in listed]


def resolve_source(source: str, months: Iterable[Month], settings: Settings) -> str:
    """Return the source as the runners take it, and generate sample files. Raise `UsageError` for an unknown folder."""
    if source == "sample":
        return str(_sample(months, settings))
    if source == "tlc":
        return source
    if "://" in source:
        from core.extract import check_source

        # Before an orchestrator writes it into its history.
        check_source(source)
        return source
    if not os.path.isdir(source):  # noqa: PTH112  # Path.is_dir() raises on a name that is too long
        raise UsageError(f"--source {source}: no such folder; write sample, tlc, a folder, or an http(s) prefix")
    return str(Path(source).resolve())


def _sample(months: Iterable[Month], settings: Settings) -> Path:
    """Bring the sample files up to date, and return their folder."""
    from core.extract import sample
    from core.lab import display
    from core.lab.signals import interruptible

    folder = private(state_folder(settings.home) / "sample")

    def report(month: Month, _path: Path, written: bool, seconds: float) -> None:
        if written:
            display.note(f"sample    {month}  written in {seconds:.1f} s")

    with interruptible():
        sample.ensure(folder, months, report=report)
    return folder


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
