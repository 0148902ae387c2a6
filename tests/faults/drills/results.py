"""The rows of one kind of drills in their file of results: written after each drill, so that the next call goes on."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from core.lab.postgres import Postgres
from tests.contract.bench import Bench


class Results:
    """The rows so far, and the facts about them."""

    def __init__(self, name: str, folder: Path, name_of: Callable[[Row], str], order: Sequence[str]) -> None:
        """Read the file `name`, if there is one. `name_of` returns the drill of a row; `order` is that of the plan."""
        self.name, self.folder, self._name_of = name, folder, name_of
        self._places = {drill: place for place, drill in enumerate(order)}
        self.rows: dict[str, Row] = {}
        self.about: Row = {}
        with suppress(FileNotFoundError):
            self.about = measure.read(name, folder)
            self.rows = {name_of(each): each for each in self.about.pop("rows")}

    def describe(self, bench: Bench, names: Sequence[str], **further: Any) -> None:
        """Take the facts of this run; the versions of orchestrators that it leaves out stay."""
        server = Postgres(bench.lab.settings.home / "postgres", bench.lab.settings.pg_bin).running()
        assert server is not None, "the server of the bench does not run"
        at = measure.Server(bench.lab.dsn, server.process, bench.work)
        found = measure.facts(at, ["psycopg", "pyarrow"], Path(sys.executable))
        versions = {name: bench.description(name).version for name in names}
        known = {**self.about.get("versions", {}), **found["versions"], **versions}
        self.about = {**found, "versions": known, **further}

    def has(self, drill: str, tool: str) -> bool:
        """Return whether there is a row of the drill, on this version of the orchestrator."""
        return bool(self.rows.get(drill, {}).get("version") == self.about["versions"][tool])

    def add(self, row: Row) -> None:
        """Add a row, in place of an older one, and write the file."""
        when = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        found = {**row, "version": self.about["versions"][row["tool"]], "measured_at": when}
        self.rows[self._name_of(found)] = found
        last = len(self._places)
        rows = sorted(self.rows.values(), key=lambda each: self._places.get(self._name_of(each), last))
        measure.write(self.name, self.about, rows, self.folder)
