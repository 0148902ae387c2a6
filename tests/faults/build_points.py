"""Faults at every kill point of a build.

    python -m tests.faults.build_points [--sample N] [--seed N] [--only WORD] [--folder FOLDER]

`tests.faults.kill_points` runs this program beside its own cases and publishes both.

For each scenario, one run of `pipeline.transform` and `pipeline.check` is watched and its points are noted: each
statement that the loader or dbt sends (`tests.faults.wire`), each file that they open for writing, rename or remove,
and the start of dbt (`tests.faults.file_points`). Then the scenario is run again for each point and fault, and each
time

    1   the fault happens before, or after, the point, while the statement is held
    2   a reader looks: every month of fct_trips and daily_borough_stats is old, or every one of them is new
    3   no dbt is left, and what is recorded as built is what the tables hold
    4   the same steps run again, without a fault
    5   tables, ledgers, test results and relations are compared with those that an undisturbed run leaves

`tests.faults.build_rules` says which faults are injected at which points. dbt gets one thread, because with more its
points would come in another order in each run. The scenario with a cold dbt keeps dbt's two threads, and draws its
cases.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from benchmarks.harness.proxy import led_through, server_of
from core import digest, errors, pipeline
from core.lab.postgres import Postgres
from core.lab.postgres_binaries import server_user
from core.lab.processes import Child as Service
from core.lab.processes import end
from core.lab.warm_dbt import server_command
from core.month import Month
from core.run import Run
from core.settings import settings

# The client is imported before the first fork.
from core.transform import dbt, dbt_client
from core.waiting import until
from tests.faults import file_points, injector, published
from tests.faults.build_rules import SCENARIOS, Case, Point, Scenario, cases, drawn, honest, misplaced, reader
from tests.faults.injector import AS_UNDISTURBED, Child, Ended
from tests.faults.stage import crash, small_disk
from tests.faults.wire import Link, Wire, wire

MONTH, OTHER = Month(2024, 1), Month(2024, 2)
DATABASE = SCHEMA = "build_points"
TIMEOUT_S = 120.0
ROWS = {"v1": 60, "v2": 75}
TMPFS_MB = 64
OPTIONS = {"fsync": "off", "full_page_writes": "off"}
"""The server is killed, but never the machine, so nothing is gained by waiting for the disk."""
COLD_CASES = 12
"""Cases with a cold dbt, each of which costs two starts of dbt."""


class Bench:
    """A server, its proxy, a state folder with a warm dbt, and snapshots of the states that a build starts from."""

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
        """Open an observer's session, which does not go through the proxy."""
        return psycopg.connect(self.dsn, autocommit=True)

    # --- states that a build starts from ---

    def prepare(self) -> None:
        """Load, build and load again; keep the state that each scenario starts from."""
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
            run = Run(str(self.at.folder / version), SCHEMA, loader="kill")
            return pipeline.ingest(run, "green" if month else "zones", month).state

        ended = Child(step).wait(TIMEOUT_S)
        assert ended.how == "success", ended

    def keep(self, state: str) -> None:
        """Keep a snapshot of the database."""
        self.at.execute(f"CREATE DATABASE at_{state} TEMPLATE {DATABASE} TABLESPACE pg_default")

    def _keep_home(self) -> None:
        """Keep a copy of dbt's folder for the schema, because a parse costs dbt as much as a build."""
        (self.folder,) = (
            path.parent for path in self.home.glob("dbt/*/partial_parse.msgpack") if path.parent.name != "warm"
        )
        (self.folder / "dbt.log").unlink()
        shutil.copytree(self.folder, self.at.folder / "kept")

    def reset(self, scenario: Scenario) -> None:
        """Restore the state that the scenario starts from."""
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
        """Run once in a child, watched; the case's fault happens at its point."""
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
        """Run the steps in this process."""
        injector.enter(self.through, self.home)
        # As the orchestrators' own handlers do.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("SIGTERM"))
        # psycopg warns of each connection that we break.
        logging.disable(logging.WARNING)
        told: dict[str, Any] = {"below": str(self.home), "log": str(self.log), "loader": os.getpid()}
        if case and case.point.kind != "statement":
            told |= {"at": [case.point.name, case.point.nth], "when": case.when, "fault": case.fault}
        os.environ[file_points.VARIABLE] = json.dumps(told)
        watched = _environment(self.at.folder) | {file_points.VARIABLE: os.environ[file_points.VARIABLE]}
        dbt.run = lambda command: _run_watched(command, watched, scenario.cold)
        file_points.install()
        run = Run("", SCHEMA, loader="kill")
        receipts = [pipeline.transform(run, MONTH), pipeline.check(run, MONTH)]
        return " ".join(receipt.state for receipt in receipts)

    def _read_log(self) -> None:
        """Note the points that were reported since the last call."""
        notes = file_points.noted(str(self.log))
        new, self._noted = notes[self._noted :], len(notes)
        self.met |= file_points.MET in new
        self.seen += (Point(*note) for note in new if isinstance(note, list))

    def _hook(self, link: Link, statement: str, when: str) -> bool:
        """Note a point that the proxy reports, and inject the fault if it belongs to this point."""
        if when == "before":
            self._read_log()
            name = self._name(link, statement)
            self._counts[name] += 1
            self._nodes[link] = name
            self.seen.append(Point("statement", name, self._counts[name]))
        name, case = self._nodes[link], self._case
        if case and case.fault == "dbt killed" and name == "dbt: connect" and not self._dbt:
            # Now, while dbt has the connection: it does not wait for the end of one.
            self._dbt.append(_process(link.port))
        if case is None or self.met or (name, self._counts[name], when) != (case.point.name, case.point.nth, case.when):
            return True
        self.met = True
        return self._do(case.fault, link)

    def _name(self, link: Link, statement: str) -> str:
        """Return who sends which statement and, of dbt, for which node.

        The statement that ends a transaction does not name the node, so it belongs to that of the last statement.
        """
        if not link.client.startswith("triptych dbt"):
            return f"loader: {injector.statement(None, statement)}"
        if node := re.match(r'/\* [^*]*"node_id": "(\w+)\.\w+\.([\w.]+?)(\.[0-9a-f]{10})?"', statement):
            self._about[link] = f" {node[1]} {node[2].rpartition('.')[2]}"
        title = injector.statement(None, re.sub(r"^/\* .*? \*/", "", statement))
        # dbt names some relations by the clock.
        title = re.sub(r"(__dbt_tmp)\d+.*|\b[0-9a-f]{32}\b", r"\1", title)
        return f"dbt{self._about.get(link, '')}: {title}"

    # --- faults ---

    def _do(self, fault: str, link: Link) -> bool:
        """Inject the fault; return whether the held statement goes on."""
        assert self._loader is not None
        dbts = link.client.startswith("triptych dbt")
        if fault in ("SIGKILL", "SIGTERM"):
            self._loader.kill(signal.Signals[fault])
            if (dbts and self._scenario.cold and fault == "SIGKILL") or (not dbts and fault == "SIGTERM"):
                # A cold dbt outlives a killed loader. psycopg cancels the statement that it sent, and waits for that.
                return True
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

    # --- checks ---

    def content(self) -> dict[str, Any]:
        """Return digests of tables, ledgers and test results without times, relations, indexes and constraints."""
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
        """Return the points of an undisturbed run, and the contents before and after it."""
        self.reset(scenario)
        before = self.content()
        self._succeed(scenario, "the undisturbed run")
        undisturbed = self.content()
        assert (before["transform_ledger"] == undisturbed["transform_ledger"]) == (scenario.state == "built"), (
            "the wrong number of months is pending"
        )
        left = [relation for relation in undisturbed["relations"] if "__" in str(relation[1])]
        assert not left, f"a build leaves temporary relations: {left}"
        return list(self.seen), before, undisturbed

    def case(self, scenario: Scenario, case: Case, before: dict[str, Any], undisturbed: dict[str, Any]) -> str:
        """Inject one fault and check what follows; return how the run ended, what a reader saw, and the outcome."""
        self.reset(scenario)
        first, met = self.run(scenario, case), self.met
        seen = reader(self.content()["tables"], before["tables"], undisturbed["tables"])
        left = self._wait_for_the_end()
        self._empty()
        recorded = honest(self.content(), before, undisturbed)
        again = self.run(scenario)
        after = self.content()
        faulty = [
            *([] if met else ["the point was not met"]),
            *([] if (wrong := misplaced(case.fault, first, _password(self.dsn))) is None else [wrong]),
            *([f"a reader saw part: {seen}"] if "part" in seen else []),
            *([] if left is None else [left]),
            *([] if recorded else ["what is recorded as built is not what the tables hold"]),
            *([] if again.how == "success" else [f"the next run: {again.how}: {again.said}"]),
            *(f"{key} differs" for key in undisturbed if after[key] != undisturbed[key]),
        ]
        return f"{first.how}; {seen}; {'; '.join(faulty) or AS_UNDISTURBED}"

    def _wait_for_the_end(self) -> str | None:
        """Wait until no dbt and no backend of either is left; return what stays, if anything does."""

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


def _run_watched(command: dbt.Command, watched: Mapping[str, str], cold: bool) -> dbt.Completed:
    """Run a dbt that reports its files: a cold one, or the warm one, and that with one thread."""
    command = replace(command, environment={**command.environment, **watched})
    if cold:
        return dbt.run_cold(command)
    one_thread = replace(command, arguments=[*command.arguments, "--threads", "1"])
    done = dbt.run_warm(one_thread, dbt_client.socket_path(settings().home, settings().dbt))
    assert done is not None, "dbt would start cold: the warm one did not answer"
    return done


def _password(dsn: str) -> str:
    """Return the password in a DSN."""
    return str(urlsplit(dsn).password)


def _process(port: int) -> psutil.Process:
    """Return the process that has a connection from this port."""
    (pid,) = {each.pid for each in psutil.net_connections("tcp") if each.laddr[1:] == (port,) and each.pid}
    return psutil.Process(pid)


def _is_free(lock: Path) -> bool:
    """Whether no process holds the lock, which each dbt inherits."""
    with lock.open("r") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _environment(folder: Path) -> dict[str, str]:
    """Return dbt's environment, with the folder that makes it report its files."""
    return {**_SCRATCH, "PYTHONPATH": str(folder / "hooked")}


_SCRATCH = dbt.scratch_environment()


@contextmanager
def bench() -> Iterator[Bench]:
    """Start a server and a warm dbt of our own.

    For root, the database and the state folder are on small file systems that can be filled.
    """
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
    """Run a warm dbt that reports the files of the calls that it serves."""
    command = server_command(made.home, settings().dbt)
    assert command is not None, "there is no dbt to keep warm: run `make setup`"
    folder = dbt_client.server_folder(made.home)
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
    """Publish two versions of a tiny month and of the zones, and another month."""
    from core.extract import sample

    for seed, (version, rows) in enumerate(ROWS.items()):
        published.write(folder / version, MONTH, seed, rows)
        published.write(folder / version, OTHER, 7, 60)
        published.write_zones(folder / version, 265)
    published.write_zones(folder / "z2", 265)
    zones = folder / "z2" / sample.ZONES
    zones.write_text(zones.read_text().replace("Queens", "The Queens"))
    return ""


def measured(bench: Bench, scenario: Scenario, sample: int | None, draw: random.Random, met: set[Any]) -> list[Row]:
    """Run the cases of a scenario; return a row for each point and moment, with the outcome of each fault."""
    points, before, undisturbed = bench.points(scenario)
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
        row["faults"][case.fault] = _not_run(bench, case) or bench.case(scenario, case, before, undisturbed)
        if not row["faults"][case.fault].endswith((AS_UNDISTURBED, "mount")):
            print(f"{scenario.name}: {case}: {row['faults'][case.fault]}", flush=True)
    return [rows[key] for key in sorted(rows, key=lambda key: (key[0], key[1] == "after"))]


def _not_run(bench: Bench, case: Case) -> str | None:
    return "not run: needs a right to mount" if "disk full" in case.fault and bench.small is None else None


def rows(sample: int | None, seed: int, only: str = "") -> tuple[dict[str, Any], list[Row]]:
    """Run the cases; return the facts of the run and its rows. With `sample`, run so many cases of each scenario."""
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
                took_s = time.monotonic() - started
                print(f"{scenario.name:<36} {len(these):>4} rows {number:>5} cases {took_s:>6.1f} s", flush=True)
    return about | {"complete": sample is None and not only}, found


def failures(rows: Sequence[Row]) -> list[str]:
    """Return the cases that did not end as the undisturbed run, one line each."""
    return [
        f"{row['scenario']}: {fault} {row['when']} point {row['point']} ({row['name']}): {outcome}"
        for row in rows
        for fault, outcome in row["faults"].items()
        if not outcome.endswith(f"; {AS_UNDISTURBED}") and not outcome.startswith("not run")
    ]


def main() -> int:
    """Run the cases and write build_points.json; return 1 if one did not end as the undisturbed run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="cases of each scenario, drawn; without it, all")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--folder", type=Path, default=settings().home, help="where the results go")
    asked = parser.parse_args()
    about, found = rows(asked.sample, asked.seed, asked.only)
    measure.write("build_points", about, found, asked.folder)
    wrong = failures(found)
    print("\n".join([*wrong, f"{sum(len(row['faults']) for row in found)} cases, {len(wrong)} not as undisturbed"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
