"""The baseline's history: one JSON file per run, in its home."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

from core.errors import UsageError, quoted
from core.lab.identity import Identity
from core.lab.protocol import ProcessRecord, RunRecord, write_json
from core.settings import private

T = TypeVar("T")

KEPT = 200
"""How many runs are kept: some 3 KB each."""

LOST = "its process ended before the run did"


def now() -> str:
    """Return the time as the runner protocol writes it."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def new_id(partition: str) -> str:
    """Return an identifier for a run that begins now. Identifiers sort by time."""
    return f"plain-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%f}-{partition}"


@dataclass(frozen=True)
class Stored:
    """A run as its file holds it, and the process that executes it."""

    record: RunRecord
    process: Identity


def stopped(record: RunRecord, state: Literal["failed", "canceled"], ended_at: str | None = None) -> RunRecord:
    """Return the record of a run whose process ended before the run did: its running steps ended with it."""
    tasks = [
        replace(task, state=state, ended_at=ended_at) if task.state == "running" else task for task in record.tasks
    ]
    return replace(record, state=state, tasks=tasks, ended_at=ended_at)


class Store:
    """The runs below the baseline's `home`."""

    def __init__(self, home: str) -> None:
        self.folder = Path(home) / "history"
        self._logs = Path(home).parent / "logs"

    def save(self, record: RunRecord) -> None:
        """Write a run, as one that this process executes."""
        me = Identity.of("run", os.getpid())
        write_json(self._path(record.run_id), {"record": record.to_json(), "process": asdict(me)})

    def read(self, run_id: str) -> RunRecord:
        """Return a run as it is now; raise `UsageError` when there is none of this id."""
        return _current(self._existing(run_id))

    def load(self, run_id: str) -> Stored:
        """Return a run as its file holds it; raise `UsageError` when there is none of this id."""
        return _load(self._existing(run_id))

    def newest(self, pipeline: str | None, limit: int) -> list[RunRecord]:
        """Return the newest runs, newest first."""
        every = self._each(_current)
        return list(islice((record for record in every if pipeline in (None, record.pipeline)), limit))

    def processes(self) -> Iterator[ProcessRecord]:
        """Yield the processes that execute a run, a record for each run."""
        for stored in self._each(_load):
            if not stored.record.has_ended and stored.process.process():
                yield ProcessRecord("run", stored.record.pipeline, stored.process.pid, stored.record.run_id)

    def tidy(self) -> None:
        """Delete the oldest runs beyond `KEPT`, and their logs."""
        for path in self._files()[KEPT:]:
            self._delete(path)

    def delete(self, run_id: str) -> None:
        """Delete a run that has ended, and its log; raise `UsageError` when there is none, or it has not ended."""
        if not self.read(run_id).has_ended:
            raise UsageError(f"{run_id} has not ended: cancel it first")
        self._delete(self._path(run_id))

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.log(path.stem).unlink(missing_ok=True)

    def log(self, run_id: str) -> Path:
        """Return where a run that was started by hand logs."""
        return self._logs / f"{run_id}.log"

    def _path(self, run_id: str) -> Path:
        return private(self.folder) / f"{run_id}.json"

    def _existing(self, run_id: str) -> Path:
        path = self._path(run_id)
        if path not in self._files():
            raise UsageError(f"plain has no run {quoted(run_id)!r}: `triptych runs --on plain` lists them")
        return path

    def _each(self, read: Callable[[Path], T]) -> Iterator[T]:
        for path in self._files():
            # Another process may tidy.
            with suppress(FileNotFoundError):
                yield read(path)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"), reverse=True)


def _current(path: Path) -> RunRecord:
    """Return a run as it is now. One that lost its process has failed."""
    before = None
    while (stored := _load(path)) != before:
        if stored.record.has_ended or stored.process.process():
            return stored.record
        # The process may have saved the end of its run since the file was read: look again.
        before = stored
    return replace(stopped(stored.record, "failed"), error=stored.record.error or LOST)


def _load(path: Path) -> Stored:
    facts = json.loads(path.read_text())
    return Stored(RunRecord.from_json(facts["record"]), Identity(**facts["process"]))
