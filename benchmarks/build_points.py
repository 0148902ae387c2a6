"""Every kill point of a build: ``python -m benchmarks.build_points [--sample N] [--seed N] [--only WORD] [--folder F]``.

`benchmarks.kill_points` runs it beside its own cases, and publishes both.

For each scenario one run of `pipeline.transform` and `pipeline.check` is watched, and its points are noted: each statement that
the loader or dbt sends (`benchmarks.wire`), each file that they open for writing, rename or remove, and the start of dbt
(`benchmarks.file_points`). Then it is run again for each point and fault, and each time

    1   the fault happens before, or after, the point, while the statement is held
    2   a reader looks: every month of fct_trips, and daily_borough_stats, are the old ones or the new ones, all of them
    3   no dbt is left, and what is recorded as built is what the tables hold
    4   the same steps run again, without a fault
    5   tables, ledgers, test results and relations are compared with those that an undisturbed run leaves

Which faults come to which points says `benchmarks.build_rules`. dbt is given one thread, else its points had another order in each
run; the scenario with dbt cold leaves it the two that it has, and draws its cases.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import random
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import psutil
import psycopg

from benchmarks import file_points, injector, measure, published
from benchmarks.build_rules import SCENARIOS, Case, Point, Scenario, cases, drawn, honest, misplaced, reader
from benchmarks.injector import Child, Ended
from benchmarks.measure import Row
from benchmarks.proxy import led_through, server_of
from benchmarks.stage import crash, small_disk
from benchmarks.wire import Link, Wire, wire
from core import digest, errors, pipeline  # imported before the first fork
from core.lab.postgres import Postgres, server_user
from core.lab.processes import Child as Service
from core.lab.processes import end
from core.month import Month
from core.run import Run
from core.settings import settings
from core.transform import dbt, warm  # imported before the first fork
from core.waiting import until

MONTH, OTHER = Month(2024, 1), Month(2024, 2)
DATABASE = SCHEMA = "build_points"
TIMEOUT_S = 120.0
ROWS = {"v1": 60, "v2": 75}
TMPFS_MB = 64
OPTIONS = {"fsync": "off", "full_page_writes": "off"}
"""What is killed is the server, never the machine: it gains nothing from waiting for the disk."""
COLD_CASES = 12
"""Cases with dbt cold, each of which costs two starts of dbt."""


class Bench:
    """A server, its proxy, a state folder with a warm dbt in it, and snapshots of what a build may find."""

    def __init__(self, at: measure.Server, through: Wire, small: Path | None, state: Path | None) -> None:
        self.at, self.wire, self.small, self.state = at, through, small, state
        self.home = state or at.folder / "home"
        self.log = at.folder / "points"
        self.dsn = urlsplit(at.dsn)._replace(path=f"/{DATABASE}").geturl()
        self.through = led_through(through.port, self.dsn)
        self.seen: list[Point] = []
        self.met = False
        self._loader: Child | None = None

    def connect(self) -> psycopg.Connection[Any]:
        """A session of an observer, past the proxy."""
        return psycopg.connect(self.dsn, autocommit=True)

    # --- what a build finds ---

    def prepare(self) -> None:
        """Load, build and load again; keep what each scenario starts from."""
        self.at.execute(f"CREATE DATABASE {DATABASE}{' TABLESPACE small' if self.small else ''}")
        for state, version, months in (
            ("loaded", "v1", (MONTH, OTHER)),
            ("replaced", "v2", (MONTH,)),
            ("zones", "z2", ()),
        ):
            if state != "loaded":
                self._succeed(SCENARIOS[0], "build")
                if state == "zones":
                    self.keep("built")
            for month in (None, *months):
                self._load(version, month)
            self.keep(state)
        self._keep_home()

    def _succeed(self, scenario: Scenario, what: str) -> None:
        ended = self.run(scenario)
        assert ended.how == "success", f"{what}: {ended}"
        assert self._wait_for_the_end() is None

    def _load(self, version: str, month: Month | None) -> None:
        def step() -> str:
            injector.enter(self.dsn, self.home)
            job = Run(str(self.at.folder / version), SCHEMA, loader="kill")
            return pipeline.ingest(job, "green" if month else "zones", month).state

        ended = Child(step).wait(TIMEOUT_S)
        assert ended.how == "success", ended

    def keep(self, state: str) -> None:
        """Make a snapshot of the database."""
        self.at.execute(f"CREATE DATABASE at_{state} TEMPLATE {DATABASE} TABLESPACE pg_default")

    def _keep_home(self) -> None:
        """And one of what dbt keeps of the schema: a parse costs it as much as a build."""
        (self.folder,) = (
            path.parent for path in self.home.glob("dbt/*/partial_parse.msgpack") if path.parent.name != "warm"
        )
        (self.folder / "dbt.log").unlink()
        shutil.copytree(self.folder, self.at.folder / "kept")

    def reset(self, scenario: Scenario) -> None:
        """Put back what the scenario starts from."""
        where = " TABLESPACE small" if self.small else ""
        self.at.execute(
            f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)",
            f"CREATE DATABASE {DATABASE} TEMPLATE at_{scenario.state}{where}",
        )
        shutil.rmtree(self.folder, ignore_errors=True)
        if not scenario.fresh:
            shutil.copytree(self.at.folder / "kept", self.folder)

    # --- runs ---

    def run(self, scenario: Scenario, case: Case | None = None) -> Ended:
        """One run in a child, watched; the case's fault happens at its point."""
        self.seen, self.met, self._case, self._scenario = [], False, case, scenario
        self._counts, self._nodes, self._noted = Counter[str](), dict[Link, str](), 0
        self._about, self._dbt = dict[Link, str](), list[psutil.Process]()
        self.log.unlink(missing_ok=True)
        self.wire.hook = self._hook
        self._loader = child = Child(lambda: self._work(scenario, case))
        deadline = time.monotonic() + TIMEOUT_S
        while child.poll() is None and time.monotonic() < deadline:
            self.wire.turn(0.005)
            self._read_log()
        ended = child.wait(0)
        self._read_log()
        return ended

    def _work(self, scenario: Scenario, case: Case | None) -> str:
        """The steps, in this process."""
        injector.enter(self.through, self.home)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("SIGTERM"))  # as the tools' own handlers do
        logging.disable(logging.WARNING)  # psycopg tells of the connections that we break
        told: dict[str, Any] = {"below": str(self.home), "log": str(self.log), "loader": os.getpid()}
        if case and case.point.kind != "statement":
            told |= {"at": [case.point.name, case.point.nth], "when": case.when, "fault": case.fault}
        os.environ[file_points.VARIABLE] = json.dumps(told)
        watched, words = _environment(self.at.folder), dbt._words
        dbt.scratch_environment = lambda: watched | {file_points.VARIABLE: os.environ[file_points.VARIABLE]}
        if scenario.cold:
            warm.call = lambda *_, **__: None
        else:
            dbt._words = lambda arguments, folder: [*words(arguments, folder), "--threads", "1"]
            dbt._run_cold = lambda *_: _no_cold_start()
        file_points.install()
        job = Run("", SCHEMA, loader="kill")
        said = [pipeline.transform(job, MONTH), pipeline.check(job, MONTH)]
        return " ".join(receipt.state for receipt in said)

    def _read_log(self) -> None:
        """Note the points that were reported since."""
        notes = file_points.noted(str(self.log))
        new, self._noted = notes[self._noted :], len(notes)
        self.met |= file_points.MET in new
        self.seen += (Point(*note) for note in new if isinstance(note, list))

    def _hook(self, link: Link, statement: str, when: str) -> bool:
        """What the proxy reports: note the point, and let the fault happen when it is this one."""
        if when == "before":
            self._read_log()
            name = self._name(link, statement)
            self._counts[name] += 1
            self._nodes[link] = name
            self.seen.append(Point("statement", name, self._counts[name]))
        name, case = self._nodes[link], self._case
        if case and case.fault == "dbt killed" and name == "dbt: connect" and not self._dbt:
            self._dbt.append(_process(link.port))  # while it has the connection: it does not wait for the end of one
        if case is None or self.met or (name, self._counts[name], when) != (case.point.name, case.point.nth, case.when):
            return True
        self.met = True
        return self._do(case.fault, link)

    def _name(self, link: Link, statement: str) -> str:
        """Who states what; of dbt, for which node: what ends a transaction does not say it, so it is that of the last one."""
        if not link.client.startswith("triptych dbt"):
            return f"loader: {injector.statement(None, statement)}"
        if node := re.match(r'/\* [^*]*"node_id": "(\w+)\.\w+\.([\w.]+?)(\.[0-9a-f]{10})?"', statement):
            self._about[link] = f" {node[1]} {node[2].rpartition('.')[2]}"
        title = injector.statement(None, re.sub(r"^/\* .*? \*/", "", statement))
        title = re.sub(r"(__dbt_tmp)\d+.*|\b[0-9a-f]{32}\b", r"\1", title)  # dbt names some by the clock
        return f"dbt{self._about.get(link, '')}: {title}"

    # --- faults ---

    def _do(self, fault: str, link: Link) -> bool:
        """Let the fault happen; give whether the statement that is held goes on."""
        assert self._loader is not None
        dbts = link.client.startswith("triptych dbt")
        if fault in ("SIGKILL", "SIGTERM"):
            self._loader.kill(signal.Signals[fault])
            if (dbts and self._scenario.cold and fault == "SIGKILL") or (not dbts and fault == "SIGTERM"):
                return True  # dbt lives on, and nobody waits for it; psycopg cancels what it sent, and waits for that
            return not self._is_left(link)
        if fault == "dbt killed":
            self._dbt[0].kill()
            return not self._is_left(link)
        if fault == "connection cut":
            for each in list(self.wire.links):
                self.wire.cut(each)
            return False
        if fault == "server's disk full":
            assert self.small is not None
            file_points.fill(str(self.small))
        elif fault == "server stopped":
            self._restart()
        else:
            self._terminate(link if fault == "backend terminated" else self._loaders_link())
        return True

    @staticmethod
    def _is_left(link: Link) -> bool:
        with suppress(errors.TransientError):
            return until(lambda: link.is_left or None, 10.0, 0.0005, "the end of the client")
        return False

    def _loaders_link(self) -> Link:
        return next(link for link in self.wire.links if link.client.startswith("triptych pid="))

    def _terminate(self, link: Link) -> None:
        with self.connect() as connection:
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", [link.backend])

    def _restart(self) -> None:
        server = Postgres(self.at.folder / "postgres", settings().pg_bin, OPTIONS)
        crash(server)
        server.start()

    def _empty(self) -> None:
        for place in (self.small, self.state):
            if place is not None:
                (place / "junk").unlink(missing_ok=True)

    # --- what is asked ---

    def content(self) -> dict[str, Any]:
        """Digests of the tables, ledgers and test results without times, relations, indexes and constraints."""
        with self.connect() as connection:
            ask = connection.execute
            found = {name for (name,) in ask(_NAMES, [SCHEMA]).fetchall()}
            tables = {
                f"fct_trips {month}": each.hex
                for month, each in (
                    digest.by_month(connection, SCHEMA, "fct_trips") if "fct_trips" in found else {}
                ).items()
            }
            for name in {"daily_borough_stats", "stg_trips", "stg_zones", "raw_trips", "raw_zones"} & found:
                tables[name] = digest.table(connection, SCHEMA, name).hex
            return {
                "tables": tables,
                "load_ledger": ask(
                    f"SELECT md5(t::text) FROM {SCHEMA}.load_ledger AS t ORDER BY 1".encode()
                ).fetchall(),
                "transform_ledger": ask(_LEDGER.encode()).fetchall() if "transform_ledger" in found else [],
                "mart_ledger": ask(_MARTS.encode()).fetchall() if "mart_ledger" in found else [],
                "test_results": ask(_RESULTS.encode()).fetchall() if "test_results" in found else [],
                "relations": ask(_RELATIONS, [SCHEMA]).fetchall(),
            }

    def points(self, scenario: Scenario) -> tuple[list[Point], dict[str, Any], dict[str, Any]]:
        """The points of an undisturbed run; the contents before it and after it."""
        self.reset(scenario)
        before = self.content()
        self._succeed(scenario, "the golden run")
        golden = self.content()
        assert (before["transform_ledger"] == golden["transform_ledger"]) == (scenario.state == "built"), (
            "what is pending?"
        )
        left = [relation for relation in golden["relations"] if "__" in str(relation[1])]
        assert not left, f"what a build is made of stays: {left}"
        return list(self.seen), before, golden

    def case(self, scenario: Scenario, case: Case, before: dict[str, Any], golden: dict[str, Any]) -> str:
        """One fault, and all that is asked after it: how the run ended; what a reader saw; the outcome."""
        self.reset(scenario)
        first, met = self.run(scenario, case), self.met
        seen = reader(self.content()["tables"], before["tables"], golden["tables"])
        left = self._wait_for_the_end()
        self._empty()
        recorded = honest(self.content(), before, golden)
        again = self.run(scenario)
        after = self.content()
        faulty = [
            *([] if met else ["the point was not met"]),
            *([] if (wrong := misplaced(case.fault, first, _password(self.dsn))) is None else [wrong]),
            *([f"a reader saw part: {seen}"] if "part" in seen else []),
            *([] if left is None else [left]),
            *([] if recorded else ["what is recorded as built is not what the tables hold"]),
            *([] if again.how == "success" else [f"the next run: {again.how}: {again.said}"]),
            *(f"{key} differs" for key in golden if after[key] != golden[key]),
        ]
        return f"{first.how}; {seen}; {'; '.join(faulty) or 'as golden'}"

    def _wait_for_the_end(self) -> str | None:
        """Wait until neither dbt nor a backend of theirs is there; say what stays."""

        def gone() -> bool | None:
            self.wire.turn()
            return (not self.wire.links and all(map(_is_free, self.home.glob("dbt/*/lock")))) or None

        try:
            until(gone, TIMEOUT_S, 0.002, "the end of dbt")
        except errors.TransientError:
            return "a dbt is left"
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        with self.connect() as connection:
            until(lambda: connection.execute(query).fetchone() == (0,) or None, TIMEOUT_S, 0.002, "the end of backends")
        return None


_NAMES = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s)"
_LEDGER = f"SELECT dataset, month::text, version FROM {SCHEMA}.transform_ledger ORDER BY 1, 2"
_MARTS = f"SELECT model, month::text, row_count, content_digest FROM {SCHEMA}.mart_ledger ORDER BY 1, 2"
_RESULTS = f"""
    SELECT name, model, kind, severity, passed, failures, message, months::text FROM {SCHEMA}.test_results ORDER BY 1
"""
_RELATIONS = """
    SELECT kind, what FROM (
        SELECT relkind::text, relname, relnamespace FROM pg_class WHERE relkind <> 'i' AND relkind <> 'I'
        UNION ALL
        SELECT 'index', regexp_replace(pg_get_indexdef(oid), 'INDEX \\S+', 'INDEX'), relnamespace FROM pg_class
        WHERE relkind IN ('i', 'I')
        UNION ALL
        SELECT 'constraint', conrelid::regclass || ' ' || pg_get_constraintdef(oid), connamespace FROM pg_constraint
    ) AS t (kind, what, namespace)
    WHERE namespace = to_regnamespace(%s) ORDER BY 1, 2
"""


def _no_cold_start() -> NoReturn:
    raise AssertionError("dbt would start cold: the warm one did not answer")


def _password(dsn: str) -> str:
    """The password in a DSN."""
    return str(urlsplit(dsn).password)


def _process(port: int) -> psutil.Process:
    """The process that has a connection from this port."""
    (pid,) = {each.pid for each in psutil.net_connections("tcp") if each.laddr[1:] == (port,) and each.pid}
    return psutil.Process(pid)


def _is_free(lock: Path) -> bool:
    """Whether nobody has the lock, which each dbt inherits."""
    with lock.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _environment(folder: Path) -> dict[str, str]:
    """What dbt is given, and the folder that makes it report its files."""
    return {**_SCRATCH, "PYTHONPATH": str(folder / "hooked")}


_SCRATCH = dbt.scratch_environment()


@contextmanager
def bench() -> Iterator[Bench]:
    """A server and a warm dbt of our own; as root, database and state folder on small file systems that can be filled."""
    with measure.server(**OPTIONS) as at, ExitStack() as stack:
        through = stack.enter_context(wire(server_of(at.dsn)))
        small, state = (small_disk(stack, TMPFS_MB) for _ in range(2))
        if small is not None:
            (small / "data").mkdir(mode=0o700)
            os.chown(small / "data", server_user() or -1, -1)
            at.execute(f"CREATE TABLESPACE small LOCATION '{small / 'data'}'")
        hooked = at.folder / "hooked"
        hooked.mkdir()
        text = Path(file_points.__file__).read_text()
        (hooked / "sitecustomize.py").write_text(f"{text}\n\ninstall()\n")
        ended = Child(lambda: _publish(at.folder)).wait(TIMEOUT_S)
        assert ended.how == "success", ended
        made = Bench(at, through, small, state)
        stack.enter_context(_warm(made))
        made.prepare()
        yield made


@contextmanager
def _warm(made: Bench) -> Iterator[None]:
    """A warm dbt that reports the files of the calls that it serves."""
    command = dbt.warm_server(made.home, settings().dbt)
    assert command is not None, "no dbt to keep warm: make setup"
    folder = dbt.warm_folder(made.home)
    folder.mkdir(parents=True)
    env = _environment(made.at.folder)
    service = Service(command, name="dbt", env=env, cwd=Path("/"), log=made.at.folder / "warm.log", owner=folder)
    try:
        until(lambda: next(folder.glob("*.sock"), None), TIMEOUT_S, 0.02, "the warm dbt")
        yield
    finally:
        service.let_go()
        end(folder)


def _publish(folder: Path) -> str:
    """Two versions of a tiny month and of the zones, and another month."""
    from core.lab import sample

    for seed, (version, rows) in enumerate(ROWS.items()):
        published.write(folder / version, MONTH, seed, rows)
        published.write(folder / version, OTHER, 7, 60)
        published.write_zones(folder / version, 265)
    published.write_zones(folder / "z2", 265)
    zones = folder / "z2" / sample.ZONES
    zones.write_text(zones.read_text().replace("Queens", "The Queens"))
    return ""


def measured(bench: Bench, scenario: Scenario, sample: int | None, draw: random.Random, met: set[Any]) -> list[Row]:
    """All cases of a scenario: a row for each point and moment, with what each fault led to."""
    points, before, golden = bench.points(scenario)
    chosen = cases(points, scenario, met)
    if scenario.cold:
        chosen = drawn(chosen, min(sample // 2 if sample else COLD_CASES, COLD_CASES), draw)
    elif sample is not None:
        chosen = drawn(chosen, sample, draw)
    rows: dict[tuple[int, str], Row] = {}
    for case in chosen:
        point = case.point
        about = {"scenario": scenario.name, "strategy": "-", "point": case.number + 1, "kind": point.kind}
        row = rows.setdefault((case.number, case.when), {**about, "name": point.name, "when": case.when, "faults": {}})
        row["faults"][case.fault] = _not_run(bench, case) or bench.case(scenario, case, before, golden)
        if not row["faults"][case.fault].endswith(("as golden", "mount")):
            print(f"{scenario.name}: {case}: {row['faults'][case.fault]}", flush=True)
    return [rows[key] for key in sorted(rows, key=lambda key: (key[0], key[1] == "after"))]


def _not_run(bench: Bench, case: Case) -> str | None:
    return "not run: needs a right to mount" if "disk full" in case.fault and bench.small is None else None


def rows(sample: int | None, seed: int, only: str = "") -> tuple[dict[str, Any], list[Row]]:
    """Run the cases; give the facts of the run and its rows. With `sample`, so many cases of each scenario."""
    draw, met = random.Random(seed), set[Any]()
    found: list[Row] = []
    with bench() as made:
        about = measure.facts(made.at, ["psycopg"], Path(sys.executable))
        about |= {"seed": seed, "sample": sample, "disks": bool(made.small)}
        for scenario in SCENARIOS:
            if only in scenario.name:
                started = time.monotonic()
                these = measured(made, scenario, sample, draw, met)
                found += these
                number = sum(len(row["faults"]) for row in these)
                print(f"{scenario.name:<36} {len(these):>4} rows {number:>5} cases {time.monotonic() - started:>6.1f} s", flush=True)  # fmt: skip
    return about | {"complete": sample is None and not only}, found


def failures(rows: Sequence[Row]) -> list[str]:
    """The cases whose outcome is not the golden one, one line each."""
    return [
        f"{row['scenario']}: {fault} {row['when']} point {row['point']} ({row['name']}): {outcome}"
        for row in rows
        for fault, outcome in row["faults"].items()
        if not outcome.endswith("; as golden") and not outcome.startswith("not run")
    ]


def main() -> int:
    """Run the cases, and write build_points.json; 1 when an outcome is not the golden one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="cases of each scenario, drawn; without it, all")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--folder", type=Path, default=settings().home, help="where the results go")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("SIGTERM"))  # else the server, and what is mounted, would stay
    about, found = rows(asked.sample, asked.seed, asked.only)
    measure.write("build_points", about, found, asked.folder)
    wrong = failures(found)
    print("\n".join([*wrong, f"{sum(len(row['faults']) for row in found)} cases, {len(wrong)} not as golden"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
