"""The sample data as a source."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from core.errors import room
from core.extract.folder import Folder
from core.extract.sample.files import ensure
from core.extract.sample.published import ZONES, Cab
from core.extract.source import Answer, Rest
from core.month import Month
from core.settings import private, settings

_log = logging.getLogger(__name__)

_MONTHLY = re.compile(r"(green|yellow)_tripdata_(.+)\.parquet")


class Sample(Folder):
    """The folder `sample` of the state folder. A file is generated when it is first asked for."""

    def __init__(self) -> None:
        home = settings().home
        with room(home):
            super().__init__(str(private(home / "sample")))

    @contextlib.contextmanager
    def get(self, path: str, unless: str | None, rest: Rest | None) -> Iterator[Answer]:
        """See `Source`; raise `UsageError` for a month without sample data."""
        if monthly := _MONTHLY.fullmatch(path):
            ensure(self._folder, [Month.parse(monthly[2])], report=_report, cab=cast(Cab, monthly[1]))
        elif path == ZONES:
            ensure(self._folder, [])
        with super().get(path, unless, rest) as answer:
            yield answer


def _report(month: Month, path: Path, written: bool, seconds: float) -> None:
    if written:
        _log.info("generated %s in %.2f s", path.name, seconds)
