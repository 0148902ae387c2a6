"""What the contract tests share: one lab, new schemas, the baseline's tables, a publisher, control over loaders."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core import digest, ledger
from core.errors import TransientError
from core.extract import sample
from core.lab import driver, processes
from core.lab.postgres import Postgres
from core.lab.protocol import BackfillRequest, BackfillResult, Description, further
from core.lab.registry import BASELINE, orchestrators
from core.lab.scope import TABLES
from core.lab.session import Lab
from core.month import parse_months
from core.settings import settings
from core.waiting import until
from tests import oracle, publisher

MONTHS = ("2024-01", "2024-02", "2024-03", "2024-04")
ROWS = 400
"""Rows of a month: enough for every trap of the generator, and a load takes milliseconds."""

Schema = str
Tables = dict[str, tuple[int, str]]
"""Rows and digest of each table."""
Said = list[tuple[float, str]]
"""What the lab's supervisors said, each line with its instant of `time.monotonic`."""


QUESTIONS = "tests.questions"
"""The package with the pipelines of the guide's questions."""

CONFORMANCE = "tests.conformance"
"""The package with the pipelines of the conformance cases."""

TOY = Path(__file__).resolve().parents[1] / "toy_impl"


@contextmanager
def opened(
    work: Path,
    pipelines: str = "",
    variables: Mapping[str, str] | None = None,
    dsn: str | None = None,
    scale: Mapping[str, Mapping[str, int]] | None = None,
) -> Iterator[Bench]:
    """Open a lab with its state folder in `work`. An orchestrator's services start when they are first needed.

    They load `pipelines`, such as `QUESTIONS`, besides the taxi pipeline, have `variables` in their environment, and
    there are several processes of those that `scale` names. With a `dsn`, the lab uses that server, and starts none.
    """
    sample.ensure(work / "published", parse_months(f"{MONTHS[0]}..{MONTHS[-1]}"), rows=ROWS)
    passed_on = {**settings().passed_on, further.VARIABLE: pipelines, **(variables or {})}
    state = replace(
        settings(), home=work / "state", stall_s=600, impls=(*settings().impls, TOY), passed_on=passed_on,
        dsn=dsn or settings().dsn, scale=scale or {},
    )  # fmt: skip
    said: Said = []
    try:
        with Lab(state, lambda line: said.append((time.monotonic(), line))) as lab:
            yield Bench(lab, work, said)
    finally:
        # As root, the cluster lies outside the temporary folder.
        Postgres(state.home / "postgres").wipe()


def orchestrator_names() -> list[str]:
    """Return the names of the orchestrators, without the baseline's."""
    return [name for name in orchestrators(settings()) if name != BASELINE]


@dataclass
class Bench:
    """One lab, and the questions that the tests ask it."""

    lab: Lab
    work: Path
    said: Said = field(default_factory=list)
    _baselines: dict[tuple[Path, tuple[str, ...]], Tables] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def folder(self) -> Path:
        """Four generated months and the zone lookup. No test changes it: see `copy_of`."""
        return self.work / "published"

    @property
    def password(self) -> str:
        """The warehouse's password, which must appear nowhere."""
        return str(conninfo_to_dict(self.lab.dsn)["password"])

    def databases(self, orchestrator: str) -> list[str]:
        """Return the DSN of the orchestrator's own database, if it has one."""
        with self.connect() as connection:
            query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
            return [
                make_conninfo(self.lab.dsn, dbname=str(name))
                for (name,) in connection.execute(query, [f"triptych_{orchestrator}_"])
            ]

    def schema(self) -> Schema:
        """Return a name that was not used before."""
        return f"case_{next(self._numbers)}"

    def backfill(
        self, orchestrator: str, months: Sequence[str], source: Path | str, schema: Schema, jobs: int = 2, **flags: Any
    ) -> BackfillResult:
        """Run one backfill through the driver, as the command line does. `flags` are further fields of the request."""
        request = BackfillRequest(list(months), str(source), schema, jobs=jobs, **flags)
        return self.lab.backfill(orchestrators(self.lab.settings)[orchestrator], request)

    def interrupt(self, orchestrator: str, months: Sequence[str], schema: Schema) -> None:
        """Begin a backfill, a month at a time, and end it like Ctrl-C during its first load. `schema` must exist."""
        stack = self.lab.stack(orchestrators(self.lab.settings)[orchestrator])
        endpoint = stack.endpoint(stack.start().ports).to_json()
        request = BackfillRequest(list(months), str(self.folder), schema, endpoint=endpoint, jobs=1)
        stop = Event()
        with ThreadPoolExecutor(1) as pool, self.held_before_publishing(schema) as held:
            call = pool.submit(
                driver.call, stack.orchestrator, "backfill", request, folder=stack.folder, env=stack.env, stall_s=600,
                stop=stop,
            )  # fmt: skip
            try:
                until(lambda: any(map(held.waiting, months)) or None, 240, 0.05, "a load in its middle")
            finally:
                stop.set()
            with suppress(TransientError):
                call.result()

    def kill_runner(self, orchestrator: str) -> None:
        """End the runner that drives the orchestrator with SIGKILL, so that it can cancel nothing."""
        for leader in processes.leaders(self.lab.settings.home / orchestrator / "runs"):
            os.kill(leader.pid, signal.SIGKILL)

    def end(self, orchestrator: str) -> None:
        """End the orchestrator's services; the next test that needs them starts them again."""
        self.lab.stack(orchestrators(self.lab.settings)[orchestrator]).end()

    def description(self, orchestrator: str) -> Description:
        """Return what the orchestrator's runner says of it."""
        return self.lab.stack(orchestrators(self.lab.settings)[orchestrator]).description

    def baseline(self, folder: Path, months: Sequence[str]) -> Tables:
        """Return the tables that the baseline makes of these months, alone and in order."""
        key = (folder, tuple(months))
        if key not in self._baselines:
            schema = self.schema()
            result = self.backfill(BASELINE, months, folder, schema, jobs=1)
            assert result.status == "success", [month.error for month in result.months]
            self._baselines[key] = self.tables(schema)
        return self._baselines[key]

    def tables(self, schema: Schema) -> Tables:
        """Return every table's rows and digest."""
        with self.connect() as connection:
            digests = {name: digest.table(connection, schema, name) for name in TABLES}
        return {name: (each.rows, each.hex) for name, each in digests.items()}

    def ledger(self, schema: Schema) -> dict[str, ledger.Entry]:
        """Return the ledger by month, without `seen`: that counts attempts that had nothing to do."""
        with self.connect() as connection:
            entries = [replace(entry, seen=0) for entry in ledger.entries(connection, schema)]
        return {f"{entry.month:%Y-%m}": entry for entry in entries if entry.month}

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Return a new connection to the warehouse."""
        return psycopg.connect(self.lab.dsn, autocommit=True)

    def oracle(self, schema: Schema, folder: Path, months: Sequence[str]) -> list[str]:
        """Return the differences that the independent reader sees between files and tables."""
        zones = next(
            path for path in (folder / "taxi_zone_lookup.csv", folder.parent / "taxi_zone_lookup.csv") if path.exists()
        )
        files = {month: folder / f"green_tripdata_{month}.parquet" for month in months}
        return oracle.differences(self.lab.dsn, schema, files, zones)

    def copy_of(self, folder: Path) -> Path:
        """Return a copy that a test may change."""
        return Path(shutil.copytree(folder, self.work / f"copy-{next(self._numbers)}"))

    def replace(self, folder: Path, month: str) -> None:
        """Publish other rows under the same month's name."""
        (folder / f"green_tripdata_{month}.parquet").unlink()
        sample.ensure(folder, parse_months(month), seed=20_001, rows=ROWS // 2)

    def publisher(self) -> publisher.Publisher:
        """Return a web site that serves the published folder, and whose files can be made to misbehave."""
        return publisher.Publisher(self.folder)

    @contextmanager
    def held_before_publishing(self, schema: Schema) -> Iterator[Held]:
        """Hold the ledger's lock: a loader copies its rows, then waits with its transaction open."""
        with self.connect() as connection, connection.transaction():
            connection.execute(sql.SQL("LOCK TABLE {} IN EXCLUSIVE MODE").format(sql.Identifier(schema, "load_ledger")))
            yield Held(self)


@dataclass
class Held:
    """The loaders that wait in the middle of a load."""

    bench: Bench

    def kill(self, month: str) -> None:
        """End the process that loads `month` with SIGKILL, as soon as it waits; return when it is gone."""
        pid = until(lambda: self.waiting(month), 240, 0.05, f"a loader of {month} in the middle of its load")
        end(pid)

    def kill_above(self, month: str) -> int:
        """End the parent of the process that loads `month` with SIGKILL, as soon as that waits; return the loader.

        The parent is the orchestrator's own: Airflow's worker, the process that forked Dagster's or Prefect's run.
        """
        pid = until(lambda: self.waiting(month), 240, 0.05, f"a loader of {month} in the middle of its load")
        parent = psutil.Process(pid).ppid()
        assert parent != os.getpid(), "the loader's parent is this test"
        end(parent)
        return pid

    def waiting(self, month: str) -> int | None:
        """Return the process that waits in the middle of a load of `month`, if one does."""
        with self.bench.connect() as connection:
            rows = connection.execute(
                """SELECT application_name FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name LIKE %s""",
                [f"triptych pid=% green {month}%"],
            ).fetchall()
        pids = [match[1] for (name,) in rows if (match := re.match(r"triptych pid=(\d+) ", str(name)))]
        return int(pids[0]) if pids else None


def end(pid: int) -> None:
    """End a process with SIGKILL, and return when it is gone."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid) or None, 30, 0.02, f"the end of process {pid}")


def is_alive(pid: int) -> bool:
    """Return whether the process runs: a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
