"""What the command line's arguments mean, checked before anything is started."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import PermanentError, UsageError, quoted
from core.lab.protocol import Mode, Pipeline, write_json
from core.month import Month, parse_months, spans
from core.run import DATASET, HELP, JOBS, own_schema
from core.settings import Settings, default_source, settings

if TYPE_CHECKING:
    from core.lab.registry import Orchestrator


def names(text: str, option: str) -> list[str]:
    """Return the comma-separated names that an option lists; a name with a comma in it is written between "quotes".

    Raise `UsageError` when there is none.
    """
    try:
        rows = [*csv.reader([text], skipinitialspace=True, strict=True)]
    except csv.Error as error:
        raise UsageError(f"{option} {text!r}: {error}; write a,b and a name with a comma between quotes") from error
    listed = [name.strip() for row in rows for name in row if name.strip()]
    if not listed:
        raise UsageError(f"{option} {text!r} names nothing; write a,b")
    return [*dict.fromkeys(listed)]


def one_orchestrator(name: str, settings: Settings, option: str = "--on") -> Orchestrator:
    """Return the orchestrator of this name. Raise `UsageError` when it names several."""
    from core.lab.registry import select

    chosen = select(name, settings)
    if len(chosen) != 1:
        raise UsageError(f"{option} {name}: name one orchestrator; choose from {', '.join(e.name for e in chosen)}")
    return chosen[0]


def shadow_period(months: Iterable[Month], at: str) -> tuple[list[str], list[str]]:
    """Return the months of a migration in order, and those of ``--at``.

    Raise `UsageError` when these are not among them, have others in between, or have none before them.
    """
    every, period = sorted(months), sorted(parse_months(at))
    if missing := [str(month) for month in period if month not in every]:
        raise UsageError(f"--at {at}: {spans(missing)} is not in {spans(map(str, every))}")
    first = every.index(period[0])
    if every[first : first + len(period)] != period:
        raise UsageError(f"--at {at}: other months lie in between; name one month, or a range")
    if first == 0:
        raise UsageError(f"--at {at}: no month comes before it, so there is nothing to migrate from")
    return [*map(str, every)], [*map(str, period)]


def check_mode(mode: Mode, chosen: Iterable[Orchestrator], jobs: int) -> None:
    """Raise `UsageError` when one of the chosen has no backfills of this mode, or `jobs` means nothing in it."""
    from core.lab import driver

    if mode == "runs":
        return
    if jobs != JOBS:
        raise UsageError(f"--jobs {jobs} --as {mode}: in one run its own setting counts; leave --jobs out")
    for each in chosen:
        driver.describe(each, settings()).check_mode(mode)


def pairs(words: Iterable[str]) -> dict[str, str]:
    """Return the names and values of ``--set NAME=VALUE``. Raise `UsageError` for one without a ``=``."""
    found = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not (name and sign):
            raise UsageError(f"--set {quoted(word)}: write it NAME=VALUE, as in --set force=true")
        found[name] = value
    return found


def run_parameters(
    pipeline: Pipeline, orchestrator: str, month: str | None, given: Mapping[str, str]
) -> dict[str, Any]:
    """Return the parameters of one run: those given, else the default source, and the orchestrator's own schema.

    Raise `UsageError` when one is unknown, wrong or missing, or when the month is.
    """
    from core.database import check_schema_name

    months = [Month.parse(month)] if month else []
    defaults = {"source": default_source(), "schema": own_schema(orchestrator, given.get("dataset", DATASET))}
    values: dict[str, Any] = {name: value for name, value in defaults.items() if name in pipeline.parameters}
    values |= pipeline.values(given)
    pipeline.check(month, values)
    if "schema" in values:
        check_schema_name(str(values["schema"]))
    if "source" in values:
        values["source"] = resolve_source(str(values["source"]), months)
    return values


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
