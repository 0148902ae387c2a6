"""What the cases need: one lab for the whole session, schemas, golden runs, a publisher, and a hand on the loaders."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core import digest, ledger
from core.errors import TransientError
from core.lab import driver, sample
from core.lab.parity import TABLES
from core.lab.protocol import BackfillRequest, BackfillResult, Endpoint
from core.lab.registry import CONTROL, orchestrators
from core.lab.session import Lab
from core.month import parse_months
from core.settings import settings
from core.waiting import until
from tests import oracle, publisher

MONTHS = ("2024-01", "2024-02", "2024-03", "2024-04")
ROWS = 400  # a month; enough for every trap of the generator, and a load takes milliseconds

Schema = str
Tables = dict[str, tuple[int, str]]
"""Rows and digest of each table."""


def tools() -> list[str]:
    """The orchestrators, without the control."""
    return [name for name in orchestrators(settings()) if name != CONTROL]


@dataclass
class Bench:
    """One lab, and what is asked of it."""

    lab: Lab
    work: Path
    _goldens: dict[tuple[Path, tuple[str, ...]], Tables] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def folder(self) -> Path:
        """Four generated months and the zone lookup. Never changed: see `copy_of`."""
        return self.work / "published"

    @property
    def password(self) -> str:
        """The warehouse's, which must be seen nowhere."""
        return str(conninfo_to_dict(self.lab.dsn)["password"])

    def databases(self, tool: str) -> list[str]:
        """The DSN of the tool's own database, if it has one."""
        with self.connect() as connection:
            query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
            return [
                make_conninfo(self.lab.dsn, dbname=str(name))
                for (name,) in connection.execute(query, [f"triptych_{tool}_"])
            ]

    def schema(self) -> Schema:
        """A name not used before, one that needs quoting."""
        return f'Case "{next(self._numbers)}" 100%'

    def backfill(
        self, tool: str, months: Sequence[str], source: Path | str, schema: Schema, jobs: int = 2, **flags: Any
    ) -> BackfillResult:
        """One backfill through the driver, as the command line does it. `flags` are further fields of the request."""
        request = BackfillRequest(list(months), str(source), schema, jobs=jobs, **flags)
        return self.lab.backfill(orchestrators(self.lab.settings)[tool], request)

    def interrupt(self, tool: str, months: Sequence[str], schema: Schema) -> None:
        """Begin a backfill, a month at a time, and end it as Ctrl-C does, in the middle of its first load. `schema` is there."""
        orchestrator = orchestrators(self.lab.settings)[tool]
        stack = self.lab.stack(orchestrator)
        endpoint = Endpoint(str(stack.home), stack.start().ports).to_json()
        request = BackfillRequest(list(months), str(self.folder), schema, endpoint=endpoint, jobs=1)
        stop = Event()
        with ThreadPoolExecutor(1) as pool, self.held_before_publishing(schema) as held:
            call = pool.submit(
                driver.call, orchestrator, "backfill", request, folder=stack.folder, env=stack.env, stall_s=600, stop=stop
            )  # fmt: skip
            try:
                until(lambda: any(map(held.waiting, months)) or None, 240, 0.05, "a load in its middle")
            finally:
                stop.set()
            with suppress(TransientError):
                call.result()

    def capabilities(self, tool: str) -> list[str]:
        """What the tool says that it can do."""
        return self.lab.stack(orchestrators(self.lab.settings)[tool]).description.capabilities

    def golden(self, folder: Path, months: Sequence[str]) -> Tables:
        """The tables that the control makes of these months, alone and in order."""
        key = (folder, tuple(months))
        if key not in self._goldens:
            schema = self.schema()
            result = self.backfill(CONTROL, months, folder, schema, jobs=1)
            assert result.status == "success", [month.error for month in result.months]
            self._goldens[key] = self.tables(schema)
        return self._goldens[key]

    def tables(self, schema: Schema) -> Tables:
        """Every table's rows and digest."""
        with self.connect() as connection:
            digests = {name: digest.table(connection, schema, name) for name in TABLES}
        return {name: (each.rows, each.hex) for name, each in digests.items()}

    def ledger(self, schema: Schema) -> dict[str, ledger.Entry]:
        """What the ledger shows, by month; without `seen`, which counts attempts that found nothing to do."""
        with self.connect() as connection:
            entries = [replace(entry, seen=0) for entry in ledger.entries(connection, schema)]
        return {f"{entry.month:%Y-%m}": entry for entry in entries if entry.month}

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection of our own to the warehouse."""
        return psycopg.connect(self.lab.dsn, autocommit=True)

    def oracle(self, schema: Schema, folder: Path, months: Sequence[str]) -> list[str]:
        """The differences that the independent reader finds between files and tables."""
        zones = next(
            path for path in (folder / "taxi_zone_lookup.csv", folder.parent / "taxi_zone_lookup.csv") if path.exists()
        )
        files = {month: folder / f"green_tripdata_{month}.parquet" for month in months}
        return oracle.differences(self.lab.dsn, schema, files, zones)

    def copy_of(self, folder: Path) -> Path:
        """A folder of one's own."""
        return Path(shutil.copytree(folder, self.work / f"copy-{next(self._numbers)}"))

    def replace(self, folder: Path, month: str) -> None:
        """Publish other rows under the month's name."""
        (folder / f"green_tripdata_{month}.parquet").unlink()
        sample.ensure(folder, parse_months(month), seed=20_001, rows=ROWS // 2)

    def publisher(self) -> publisher.Publisher:
        """A web site over the published folder, on which files can be made to misbehave."""
        return publisher.Publisher(self.folder)

    @contextmanager
    def held_before_publishing(self, schema: Schema) -> Iterator[Held]:
        """Hold the ledger's lock: a loader copies its rows, then waits, its transaction open."""
        with self.connect() as connection, connection.transaction():
            connection.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(sql.Identifier(schema, "load_ledger")))
            yield Held(self)


@dataclass
class Held:
    """Loaders that wait in the middle of a load."""

    bench: Bench

    def kill(self, month: str) -> None:
        """End the process that loads `month` with SIGKILL, as soon as it waits; return when it is gone."""
        pid = until(lambda: self.waiting(month), 240, 0.05, f"a loader of {month} in the middle of its load")
        os.kill(pid, signal.SIGKILL)
        until(lambda: not _alive(pid) or None, 30, 0.02, f"the end of process {pid}")

    def waiting(self, month: str) -> int | None:
        """The process that waits in the middle of a load of `month`, if one does."""
        with self.bench.connect() as connection:
            rows = connection.execute(
                """SELECT application_name FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name LIKE %s""",
                [f"triptych pid=% green {month}%"],
            ).fetchall()
        pids = [match[1] for (name,) in rows if (match := re.match(r"triptych pid=(\d+) ", str(name)))]
        return int(pids[0]) if pids else None


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
