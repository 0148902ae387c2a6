"""The logs of a state folder, as ``triptych logs`` shows them: one per process, and one per step that ran."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from core.errors import UsageError
from core.lab.state import folders
from core.lab.warm_dbt import WarmDbt
from core.settings import Settings

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
"""Some services color their lines, also in a file."""

LOOK_S = 0.2
"""How often `follow` looks for new lines: 0.1 % of a core."""


def find(settings: Settings, names: Iterable[str] = ()) -> dict[str, Path]:
    """Return the logs by name, such as ``airflow/scheduler`` or ``postgres``: all, or those that `names` choose.

    An orchestrator's name chooses all of its logs. Raise `UsageError` for a name that chooses none.
    """
    known = dict(_known(settings))
    if not known:
        raise UsageError(f"{settings.home} has no logs yet: nothing was started there")
    if not (wanted := list(names)):
        return known
    chosen: dict[str, Path] = {}
    for name in wanted:
        some = {each: path for each, path in known.items() if name in (each, each.partition("/")[0])}
        if not some:
            raise UsageError(f"there is no log of {name!r}: choose from {', '.join(known)}")
        chosen |= some
    return chosen


def _known(settings: Settings) -> Iterator[tuple[str, Path]]:
    shared = {"postgres": settings.home / "postgres" / "log", "dbt": WarmDbt(settings).folder / "log"}
    yield from ((name, path) for name, path in shared.items() if path.exists())
    for name, folder in folders(settings).items():
        yield from ((f"{name}/{path.stem}", path) for path in sorted((folder / "logs").glob("*.log")))


def last_lines(path: Path, number: int) -> list[str]:
    """Return the last `number` lines of a log."""
    with path.open(errors="replace") as file:
        return [_plain(line) for line in deque(file, maxlen=number)]


def follow(logs: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Yield each line that is added to the logs from now on, with the log's name. It has no end."""
    files = {name: path.open(errors="replace") for name, path in logs.items()}
    try:
        for file in files.values():
            file.seek(0, os.SEEK_END)
        while True:
            new = [(name, line) for name, file in files.items() for line in _whole_lines(file)]
            yield from new
            if not new:
                time.sleep(LOOK_S)
    finally:
        for file in files.values():
            file.close()


def _whole_lines(file: IO[str]) -> Iterator[str]:
    """Yield the lines that end; the start of one that does not is read again with its end."""
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(start)
            return
        yield _plain(line)


def _plain(line: str) -> str:
    return _COLORS.sub("", line).rstrip("\n")
