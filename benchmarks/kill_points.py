"""Every kill point: ``python -m benchmarks.kill_points [--sample N] [--seed N] [--only WORD] [--json FILE]``.

For each scenario (a strategy, and what was there before) one run is watched, and its points are counted. Then it is run
again for each point and fault, and each time

    1   the fault happens before, or after, the point
    2   a reader looks: the month is the old one or the new one, whole, and the other months are as before
    3   the ledger says what the table holds
    4   the same step runs again, without a fault
    5   tables, ledger and relations are compared with those that an undisturbed run leaves

What can't meet a point is not put to it: no connection is open while files are fetched. With --sample, SIGKILL comes before
every point and after the last, and of every other fault there are N cases a scenario, drawn with the seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from benchmarks import injector, measure, published
from benchmarks.injector import Child, Ended, Point, Points
from benchmarks.measure import Row
from benchmarks.proxy import proxy
from core import contract, digest, pipeline  # imported before the first fork
from core.contract import until
from core.lab.postgres import Postgres, server_user
from core.month import Month
from core.pipeline import Job
from core.settings import settings

MONTH, OTHER = Month(2024, 1), Month(2024, 2)
SCHEMA = "kill_points"
TIMEOUT_S = 60.0
ROWS = {"v1": 60, "v2": 75}
TMPFS_MB = 128
"""Of the file system that is filled: the database takes 8 MB, and dropped schemas leave dead rows in its catalogue."""

FAULTS = {
    "file": ("SIGKILL", "SIGTERM", "loader's disk full"),
    "statement": ("SIGKILL", "SIGTERM", "backend terminated", "connection cut", "server's disk full", "server stopped"),
}
"""What is done at which kind of point."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A step, and what it finds: `state` names the snapshot that it starts from, `version` the files."""

    name: str
    state: str
    strategy: str = "swap"
    zones: bool = False
    version: str = "v2"


SCENARIOS = (
    Scenario("swap, empty server", "nothing"),
    *(
        Scenario(f"{strategy}, {title}", state, strategy)
        for strategy in contract.STRATEGIES
        for title, state in (("new month", "others"), ("replaced month", "loaded"))
    ),
    Scenario("swap, the same file again", "loaded", version="v1"),
    Scenario("swap, replaced month over http", "loaded", version="http"),
    Scenario("zones, replaced", "loaded", zones=True),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """One fault at one point of one scenario."""

    number: int
    point: Point
    when: str
    fault: str


class Bench:
    """A server, the published files in two versions, and snapshots of what a run may find."""

    def __init__(self, at: measure.Server, dsn: str, small: Path | None, site: str) -> None:
        self.at, self.dsn, self.small, self.site = at, dsn, small, site
        self._clones: dict[str, str] = {"nothing": ""}
        self._homes = itertools.count()

    def connect(self) -> psycopg.Connection[Any]:
        """A session of an observer, never a loader's."""
        return psycopg.connect(self.dsn, autocommit=True, options="-c synchronous_commit=off")

    def prepare(self) -> None:
        """Load the first version, and keep what each scenario starts from."""
        known = Scenario("", "", version="v1")
        for state, months in (("others", (None, OTHER)), ("loaded", (None, OTHER, MONTH))):
            for month in months:
                home = self._home()
                ended = Child(lambda month=month, home=home: self._work(known, home, month)).wait(TIMEOUT_S)  # type: ignore[misc]
                assert ended.how == "success", ended
            with self.connect() as connection:
                connection.execute(f"ALTER SCHEMA {SCHEMA} RENAME TO at_{state}".encode())
                self._clones[state] = _clone(connection, f"at_{state}")

    def reset(self, scenario: Scenario) -> None:
        """Put back what the scenario starts from."""
        with self.connect() as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; {self._clones[scenario.state]}".encode())

    # --- runs ---

    def _home(self) -> Path:
        return self.at.folder / "homes" / str(next(self._homes))

    def _work(self, scenario: Scenario, home: Path, month: Month | None = MONTH, dsn: str = "") -> str:
        """The step, in this process."""
        injector.enter(dsn or self.dsn, home)
        source = self.site if scenario.version == "http" else str(self.at.folder / scenario.version)
        job = Job(source, SCHEMA, "kill", scenario.strategy, run_id=f"run {os.getpid()}")
        return pipeline.ingest(job, "green" if month else "zones", month).state

    def run(self, scenario: Scenario, home: Path, points: Points | None = None, *, cut: bool = False) -> Ended:
        """One run in a child; watched when there are `points`, which it says in the end; through a proxy that `cut` cuts."""
        month = None if scenario.zones else MONTH

        def step() -> str:
            if points is None:
                return self._work(scenario, home, month)
            signal.signal(signal.SIGTERM, lambda *_: sys.exit("SIGTERM"))  # as the tools' own handlers do
            with ExitStack() as stack:
                dsn = self.dsn
                if cut:
                    dsn = _through(stack, dsn)
                    points.fault = stack.pop_all().close
                with points.watched():
                    self._work(scenario, home, month, dsn)
            return json.dumps([dataclasses.astuple(point) for point in points.seen])

        return Child(step).wait(TIMEOUT_S)

    def points(self, scenario: Scenario) -> tuple[list[Point], dict[str, Any], dict[str, Any]]:
        """The points of an undisturbed run; the contents before it and after it."""
        self.reset(scenario)
        before = self.content()
        ended = self.run(scenario, self._home(), Points())
        assert ended.how == "success", ended
        return [Point(*point) for point in json.loads(ended.said)], before, self.content()

    def case(self, scenario: Scenario, case: Case, before: dict[str, Any], golden: dict[str, Any]) -> Row:
        """One fault, and all that is asked after it."""
        self.reset(scenario)
        home, points = self._home(), Points(case.number, case.when, self.fault(case.fault), case.point)
        first = self.run(scenario, home, points, cut=case.fault == "connection cut")
        self._empty()
        seen = self._reader(before, golden)
        self._wait_for_the_end()
        honest = self._ledger_is_honest()
        again = self.run(scenario, home)
        after = self.content()
        shutil.rmtree(home, ignore_errors=True)
        faulty = [
            *([f"the first run: {first.how}: {first.said}"] if first.how.startswith(("unclassified", "hung")) else []),
            *([] if seen in ("old", "new") else [f"a reader saw {seen}"]),
            *([] if honest else ["the ledger does not say what the table holds"]),
            *([] if again.how == "success" else [f"the next run: {again.how}: {again.said}"]),
            *(f"{key} differs" for key in golden if after[key] != golden[key]),
        ]
        return {"first": first.how, "reader": seen, "outcome": "; ".join(faulty) or "as golden"}

    # --- what is looked at ---

    def content(self) -> dict[str, Any]:
        """Digests of the tables, the ledger without what differs from run to run, and the relations."""
        with self.connect() as connection:
            relations = connection.execute(
                "SELECT relname, relkind FROM pg_class WHERE relnamespace = to_regnamespace(%s) ORDER BY 1", [SCHEMA]
            ).fetchall()
            if ("load_ledger", "r") not in relations:
                return {"months": {}, "zones": None, "ledger": [], "relations": relations}
            return {
                "months": {
                    month: found.hex for month, found in digest.by_month(connection, SCHEMA, "raw_trips").items()
                },
                "zones": digest.table(connection, SCHEMA, "raw_zones").hex,
                "ledger": connection.execute(_LEDGER).fetchall(),
                "relations": relations,
            }

    def _reader(self, before: dict[str, Any], golden: dict[str, Any]) -> str:
        """What a reader finds at once, while the dead loader's backend may still be there."""
        found = self.content()
        tables = [{key: content[key] for key in ("months", "zones")} for content in (found, before, golden)]
        empty = {**tables[0], "zones": None} == tables[1]  # made, and nothing in it yet
        return "old" if tables[0] == tables[1] or empty else "new" if tables[0] == tables[2] else f"{tables[0]}"

    def _ledger_is_honest(self) -> bool:
        found = self.content()
        recorded = {f"{entry[1]:%Y-%m}": entry[6] for entry in found["ledger"] if entry[1]}
        return bool(recorded == found["months"])

    def _wait_for_the_end(self) -> None:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'triptych pid=%'"
        with self.connect() as connection:
            until(lambda: connection.execute(query).fetchone() == (0,) or None, TIMEOUT_S, 0.001, "the end of backends")

    # --- faults ---

    def fault(self, name: str) -> Callable[[], None]:
        """What a child does to itself, or to the server."""
        return {
            "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
            "SIGTERM": lambda: os.kill(os.getpid(), signal.SIGTERM),
            "loader's disk full": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY)),
            "backend terminated": self._terminate,
            "connection cut": lambda: None,  # see `run`
            "server's disk full": self._fill,
            "server stopped": self._restart,
        }[name]

    def _terminate(self) -> None:
        query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE %s"
        with self.connect() as connection:
            connection.execute(query, [f"triptych pid={os.getpid()} %"])

    def _fill(self) -> None:
        assert self.small is not None
        try:
            with (self.small / "junk").open("wb", buffering=0) as junk:
                for size in (1 << 20, 4096):
                    while junk.write(bytes(size)) == size:
                        pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def _empty(self) -> None:
        if self.small is not None:
            (self.small / "junk").unlink(missing_ok=True)

    def _restart(self) -> None:
        server = Postgres(self.at.folder / "postgres", settings().pg_bin)
        running = server.running()
        assert running is not None
        running.process.send_signal(signal.SIGQUIT)  # immediate: no checkpoint, as after a power cut
        until(lambda: True if server.running() is None else None, TIMEOUT_S, 0.005, "the end of the server")
        server.start()


_LEDGER = f"""
    SELECT dataset, month, source_file, source_sha256, source_bytes, row_count, content_digest, declaration, strategy, loader
    FROM {SCHEMA}.load_ledger ORDER BY dataset, month
"""


def _through(stack: ExitStack, dsn: str) -> str:
    """The DSN through a proxy, of this process, that ends with the stack."""
    parts = urlsplit(dsn)
    port = stack.enter_context(proxy((str(parts.hostname), parts.port or 0), 0.0))
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()


def _clone(connection: psycopg.Connection[Any], of: str) -> str:
    """Statements that make `SCHEMA` a copy of the schema `of`: its tables, their rows, and a fence above all that were."""
    query = """
        SELECT relname, relkind, pg_get_expr(relpartbound, oid) FROM pg_class
        WHERE relnamespace = to_regnamespace(%s) AND relkind IN ('r', 'p') ORDER BY relkind = 'r', relname
    """
    lines = [f"CREATE SCHEMA {SCHEMA}", f"CREATE SEQUENCE {SCHEMA}.load_fence START WITH {time.time_ns() // 1_000_000}"]
    for name, kind, bound in connection.execute(query, [of]).fetchall():
        table, like = f"{SCHEMA}.{name}", f"(LIKE {of}.{name} INCLUDING ALL)"
        if kind == "p":
            lines.append(f"CREATE TABLE {table} {like} PARTITION BY LIST (source_month)")
        else:
            lines.append(f"CREATE TABLE {table} " + (f"PARTITION OF {SCHEMA}.raw_trips {bound}" if bound else like))
            lines.append(f"INSERT INTO {table} TABLE {of}.{name}")
    return "; ".join(lines)


@contextmanager
def bench() -> Iterator[Bench]:
    """A server of our own; as root, with the database on a small file system that can be filled."""
    with measure.server() as at, ExitStack() as stack:
        small = _small(at, stack)
        where = f" TABLESPACE {_SMALL}" if small else ""
        at.execute(f"CREATE DATABASE {SCHEMA}{where}")
        ended = Child(lambda: _publish(at.folder)).wait(TIMEOUT_S)
        assert ended.how == "success", ended
        site = stack.enter_context(published.site(at.folder / "v2"))
        made = Bench(at, at.dsn.rpartition("/")[0] + f"/{SCHEMA}", small, site)
        made.prepare()
        yield made


_SMALL = "small"


def _small(at: measure.Server, stack: ExitStack) -> Path | None:
    """A small file system with a tablespace in it; None where we may not mount one."""
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="triptych-small-")))
    place.chmod(0o711)  # the server's user must pass it
    user = server_user()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "tmpfs", str(place)]
    if user is None or subprocess.run(mount, capture_output=True).returncode:
        return None
    stack.callback(subprocess.run, ["umount", "-l", str(place)], check=True)
    (place / "data").mkdir(mode=0o700)
    os.chown(place / "data", user, -1)
    at.execute(f"CREATE TABLESPACE {_SMALL} LOCATION '{place / 'data'}'")
    return place


def _publish(folder: Path) -> str:
    """Two versions of two tiny months, and of the zones."""
    for seed, (version, rows) in enumerate(ROWS.items()):
        for month in (MONTH, OTHER):
            published.write(folder / version, month, seed if month == MONTH else 7, rows if month == MONTH else 60)
        published.write_zones(folder / version, 265 - seed)
    return ""


def cases(points: Sequence[Point], bench: Bench, sample: int | None, draw: random.Random) -> list[Case]:
    """What is put to a scenario with these points."""
    every = [
        Case(number, point, when, fault)
        for number, point in enumerate(points)
        for fault in FAULTS[point.kind]
        for when in ("before", "after")
        if bench.small or fault != "server's disk full"
    ]
    if sample is None:
        return every
    killed = [
        case for case in every if case.fault == "SIGKILL" and (case.when == "before" or case.number == len(points) - 1)
    ]
    for fault in sorted({case.fault for case in every} - {"SIGKILL"}):
        of_it = [case for case in every if case.fault == fault]
        killed += draw.sample(of_it, min(sample, len(of_it)))
    return killed


def measured(bench: Bench, scenario: Scenario, sample: int | None, draw: random.Random) -> list[Row]:
    """All cases of a scenario: a row for each point and moment, with what each fault led to."""
    points, before, golden = bench.points(scenario)
    rows: dict[tuple[int, str], Row] = {}
    for case in cases(points, bench, sample, draw):
        point = case.point
        found = bench.case(scenario, case, before, golden)
        about = {"scenario": scenario.name, "strategy": scenario.strategy, "point": case.number + 1, "kind": point.kind}
        row = rows.setdefault((case.number, case.when), {**about, "name": point.name, "when": case.when, "faults": {}})
        row["faults"][case.fault] = f"{found['first']}; {found['reader']}; {found['outcome']}"
    return [rows[key] for key in sorted(rows, key=lambda key: (key[0], key[1] == "after"))]


def failures(rows: Sequence[Row]) -> list[str]:
    """The cases whose outcome is not the golden one, one line each."""
    return [
        f"{row['scenario']}: {fault} {row['when']} point {row['point']} ({row['name']}): {outcome}"
        for row in rows
        for fault, outcome in row["faults"].items()
        if not outcome.endswith("; as golden")
    ]


def main() -> int:
    """Run the cases, and write benchmarks/results/kill_points.json; 1 when an outcome is not the golden one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="cases a scenario of each fault but SIGKILL; without it, all")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--folder", type=Path, default=measure.RESULTS, help="where the results go")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("SIGTERM"))  # else the server, and what is mounted, would stay
    draw, rows = random.Random(asked.seed), []
    with bench() as made:
        about = measure.facts(made.at, ["psycopg", "pyarrow"], Path(sys.executable))
        for scenario in SCENARIOS:
            if asked.only in scenario.name:
                started = time.monotonic()
                found = measured(made, scenario, asked.sample, draw)
                rows += found
                number = sum(len(row["faults"]) for row in found)
                print(f"{scenario.name:<32} {len({row['point'] for row in found}):>3} points {number:>5} cases "
                      f"{time.monotonic() - started:>6.1f} s", flush=True)  # fmt: skip
    about |= {"seed": asked.seed, "complete": asked.sample is None and not asked.only, "server_disk": bool(made.small)}
    measure.write("kill_points", about, rows, asked.folder)
    wrong = failures(rows)
    print("\n".join([*wrong, f"{sum(len(row['faults']) for row in rows)} cases, {len(wrong)} not as golden"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
