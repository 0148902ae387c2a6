"""Faults at every kill point of a load and of a build: ``python -m tests.faults.kill_points [--help]``.

For each scenario (a strategy and a prior state), one run is watched and its points are counted. Then the scenario is
run again for each point and fault, and each time

    1   the fault happens before, or after, the point
    2   a reader looks: the month is the complete old one or the complete new one, and the other months are as before
    3   the ledger says what the tables hold
    4   the same step runs again, without a fault
    5   tables, ledger, its history, relations and files are compared with those that an undisturbed run leaves

A fault that cannot meet a point is not injected there: no connection is open while files are fetched. A fault outside
the loader is injected after a point only if no other point follows at once. With --sample, SIGKILL is injected at every
moment of `THOROUGH`, and every other fault N times in each scenario, drawn with the seed.

This program tests extract and load. `tests.faults.build_points`, which runs beside it, tests transform and check.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import logging
import mmap
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import httpcore
import psycopg

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from benchmarks.harness.signals import exits_on
from core import digest, load, pipeline
from core.errors import TriptychError
from core.month import Month
from core.run import STRATEGIES, Run, StrategyName
from tests.faults import injector, published
from tests.faults.injector import AS_UNDISTURBED, Child, Ended, Moment, Point, Points
from tests.faults.stage import FAULTS, KILL, TIMEOUT_S, Fault, Stage, about, stage

# Imported before the first fork: otherwise each child would spend 0.4 s of CPU on importing Arrow.
assert load and httpcore

MONTH, OTHER = Month(2024, 1), Month(2024, 2)
SCHEMA = "kill_points"
ROWS = {"v1": 60, "v2": 75}


@dataclass(frozen=True)
class Scenario:
    """A step and its start: `state` names the snapshot that it starts from, `version` the published files.

    Over `http`, the transfer may be `cut` once, or the file may have been `fetched` before.
    """

    name: str
    state: str
    strategy: StrategyName = "swap"
    zones: bool = False
    version: str = "v2"
    http: str = ""


THOROUGH = Scenario("swap, replaced month", "loaded")

SCENARIOS = (
    Scenario("swap, empty server", "nothing"),
    Scenario("swap, new month", "others"),
    THOROUGH,
    *(
        Scenario(f"{strategy}, {title}", state, strategy)
        for strategy in STRATEGIES[1:]
        for title, state in (("new month", "others"), ("replaced month", "loaded"))
    ),
    Scenario("swap, the same file again", "loaded", version="v1"),
    Scenario("swap, http", "loaded", http="plain"),
    Scenario("swap, http, transfer cut", "loaded", http="cut"),
    Scenario("swap, http, file known", "loaded", http="fetched"),
    Scenario("zones, replaced", "loaded", zones=True),
)


@dataclass(frozen=True)
class Case:
    """One fault at one moment of one scenario."""

    moment: Moment
    fault: Fault


class Bench:
    """A stage with files in two versions, and snapshots of the states that a run starts from."""

    def __init__(self, at: Stage, site: published.Site) -> None:
        self.at, self.site = at, site
        self._clones: dict[str, str] = {"nothing": ""}
        self._homes = itertools.count()
        # Shared with the children, and outlives them.
        self._fired = mmap.mmap(-1, 1)

    def prepare(self) -> None:
        """Load the first version, and keep the state that each scenario starts from."""
        for state, months in (("others", (None, OTHER)), ("loaded", (None, OTHER, MONTH))):
            for month in months:
                self._load(Scenario("", "", version="v1"), self._home(), month)
            self.at.ask(f"ALTER SCHEMA {SCHEMA} RENAME TO at_{state}")
            self._clones[state] = _clone(self.at, f"at_{state}")
        self._load(Scenario("", "", http="plain"), self.at.folder / "known", MONTH)

    def _load(self, scenario: Scenario, home: Path, month: Month | None) -> None:
        self._done(lambda: self._work(scenario, home, month))

    def _done(self, step: Callable[[], str]) -> str:
        ended = Child(step).wait(TIMEOUT_S)
        assert ended.how == "success", ended
        return ended.said

    def reset(self, scenario: Scenario) -> Path:
        """Restore the state that the scenario starts from; return its state folder."""
        self.at.ask(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; {self._clones[scenario.state]}")
        home = self._home()
        if scenario.http == "fetched":
            shutil.copytree(self.at.folder / "known", home)
        if scenario.http == "cut":
            self.site.cut(MONTH)
        return home

    def _home(self) -> Path:
        return self.at.folder / "homes" / str(next(self._homes))

    # --- runs ---

    def _work(self, scenario: Scenario, home: Path, month: Month | None, dsn: str = "") -> str:
        """Run the step in this process."""
        injector.enter(dsn or self.at.dsn, home)
        source = self.site.url if scenario.http else str(self.at.folder / scenario.version)
        run = Run(source, SCHEMA, scenario.strategy, loader="kill", run_id=f"run {os.getpid()}")
        return pipeline.ingest(run, "green" if month else "zones", month).state

    def run(self, scenario: Scenario, home: Path) -> Ended:
        """Run once in a child, undisturbed."""
        return Child(lambda: self._work(scenario, home, None if scenario.zones else MONTH)).wait(TIMEOUT_S)

    def disturbed(self, scenario: Scenario, home: Path, case: Case) -> tuple[Ended, bool]:
        """Run once in a child that meets a fault; return how it ended, and whether the fault happened."""
        self._fired[0] = 0

        def step() -> str:
            # As the orchestrators' own handlers do.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit("SIGTERM"))
            with self.at.armed(case.fault.name) as (dsn, happen):

                def fault() -> None:
                    self._fired[0] = 1
                    happen()

                with Points(case.moment, fault).watched():
                    return self._work(scenario, home, None if scenario.zones else MONTH, dsn)

        ended = Child(step).wait(TIMEOUT_S)
        return ended, bool(self._fired[0])

    def moments(self, scenario: Scenario) -> tuple[list[Moment], dict[str, Any], dict[str, Any]]:
        """Return the moments of an undisturbed run, and the contents before and after it."""
        home = self.reset(scenario)
        before, points = self.content(home), Points()

        def step() -> str:
            with points.watched():
                self._work(scenario, home, None if scenario.zones else MONTH)
            return json.dumps([(*astuple(point), when) for point, when in points.moments])

        said = self._done(step)
        return [(Point(*point), when) for *point, when in json.loads(said)], before, self.content(home)

    def outcome(self, scenario: Scenario, case: Case, before: dict[str, Any], undisturbed: dict[str, Any]) -> str:
        """Inject one fault; return how the loader ended, what a reader saw, and what differs after another run."""
        home = self.reset(scenario)
        first, happened = self.disturbed(scenario, home, case)
        if case.fault.fills_disk:
            # The server may be crashing already.
            self.at.restart()
        # At once, while the dead loader's session may still be open.
        seen = _seen(self.content(home), before, undisturbed)
        self.at.wait_for_sessions()
        honest = _is_honest(self.content(home))
        again = self.run(scenario, home)
        after = self.content(home)
        shutil.rmtree(home, ignore_errors=True)
        faulty = [
            *([] if happened else ["the fault did not happen"]),
            *([] if first.how in case.fault.ends else [f"the first run said {first.said}"]),
            *(["a reader saw part of it"] if seen == "neither" else []),
            *(["what was reported as loaded was not there"] if (first.how, seen) == ("success", "old") else []),
            *([] if honest else ["the ledger does not say what the table holds"]),
            *([] if again.how == "success" else [f"the next run: {again.how}: {again.said}"]),
            *(
                f"{key} differ: {_difference(after[key], undisturbed[key])}"
                for key in undisturbed
                if after[key] != undisturbed[key]
            ),
        ]
        return "; ".join([first.how, seen, *(faulty or [AS_UNDISTURBED])])

    def content(self, home: Path) -> dict[str, Any]:
        """Return digests of the tables, relations, files, and the ledger without what differs by run."""
        relations = self.at.ask(_RELATIONS, [SCHEMA])
        files = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
        found: dict[str, Any] = {"months": {}, "zones": None, "ledger": [], "history": []}
        found |= {"relations": relations, "files": files}
        if any(name == "load_ledger" for name, *_ in relations):
            months = digest.by_month(self.at.observer, SCHEMA, "raw_trips")
            found["months"] = {month: content.hex for month, content in months.items()}
            found["zones"] = digest.table(self.at.observer, SCHEMA, "raw_zones").hex
            found["ledger"] = self.at.ask(_LEDGER.format("load_ledger"))
            found["history"] = self.at.ask(_LEDGER.format("load_history"))
        return found


_RELATIONS = """
    SELECT relname, relkind, relispartition, relchecks FROM pg_class WHERE relnamespace = to_regnamespace(%s) ORDER BY 1
"""

_LEDGER = f"""
    SELECT dataset, to_char(month, 'YYYY-MM'), source_file, source_sha256, source_bytes, row_count, content_digest,
           declaration, strategy, loader
    FROM {SCHEMA}.{{}} ORDER BY dataset, month, fence
"""


def _seen(found: dict[str, Any], before: dict[str, Any], undisturbed: dict[str, Any]) -> str:
    """Return whether a reader sees the ``new`` tables, the ``old`` ones, or ``neither``.

    Old and new are equal where the same file comes again.
    """
    tables = [(content["months"], content["zones"]) for content in (found, before, undisturbed)]
    # Tables that are still empty.
    made = before["zones"] is None and not found["months"] and not found["ledger"]
    return "new" if tables[0] == tables[2] else "old" if tables[0] == tables[1] or made else "neither"


def _is_honest(found: dict[str, Any]) -> bool:
    """Whether the ledger says exactly what the tables hold."""
    recorded = {(entry[0], entry[1]): entry[6] for entry in found["ledger"]}
    zones = recorded.pop(("zones", None), None)
    there = {("green", month): content for month, content in found["months"].items()}
    return recorded == there and (zones is None or zones == found["zones"])


def _difference(found: Any, wanted: Any) -> str:
    pairs = [set(map(str, each.items() if isinstance(each, dict) else each or ())) for each in (found, wanted)]
    return f"{sorted(pairs[0] - pairs[1])} instead of {sorted(pairs[1] - pairs[0])}"


def _clone(at: Stage, of: str) -> str:
    """Return statements that make `SCHEMA` a copy of the schema `of`, with fencing tokens above all earlier ones."""
    query = """
        SELECT relname, relkind, pg_get_expr(relpartbound, oid) FROM pg_class
        WHERE relnamespace = to_regnamespace(%s) AND relkind IN ('r', 'p') ORDER BY relkind = 'r', relname
    """
    lines = [f"CREATE SCHEMA {SCHEMA}", f"CREATE SEQUENCE {SCHEMA}.load_fence START WITH {time.time_ns() // 1_000_000}"]
    for name, kind, bound in at.ask(query, [of]):
        table, like = f"{SCHEMA}.{name}", f"(LIKE {of}.{name} INCLUDING ALL)"
        if kind == "p":
            lines.append(f"CREATE TABLE {table} {like} PARTITION BY LIST (source_month)")
        else:
            lines.append(f"CREATE TABLE {table} " + (f"PARTITION OF {SCHEMA}.raw_trips {bound}" if bound else like))
            lines.append(f"INSERT INTO {table} TABLE {of}.{name}")
    return "; ".join(lines)


def _publish(folder: Path) -> str:
    """Publish two versions of two tiny months and of the zones; the web site serves the second one, with a manifest."""
    for seed, (version, rows) in enumerate(ROWS.items()):
        for month in (MONTH, OTHER):
            published.write(folder / version, month, seed if month == MONTH else 7, rows if month == MONTH else 60)
        published.write_zones(folder / version, 265 - seed)
    shutil.copytree(folder / "v2", folder / "site")
    published.write_manifest(folder / "site")
    return ""


@contextmanager
def bench(at: Stage) -> Iterator[Bench]:
    """Prepare files and snapshots on a stage."""
    ended = Child(lambda: _publish(at.folder)).wait(TIMEOUT_S)
    assert ended.how == "success", ended
    with published.site(at.folder / "site") as site:
        made = Bench(at, site)
        made.prepare()
        yield made


# --- which cases ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """Which cases of which scenarios are run: those whose names contain these words, and how many are drawn."""

    only: str = ""
    fault: str = ""
    sample: int | None = None
    seed: int = 7

    def scenarios(self) -> list[Scenario]:
        """Return the scenarios that are asked for."""
        return [scenario for scenario in SCENARIOS if self.only in scenario.name]

    def cases(self, scenario: Scenario, moments: Sequence[Moment]) -> list[Case]:
        """Return the cases of a scenario that has these moments."""
        draw = random.Random(f"{self.seed} {scenario.name}")
        chosen: list[Case] = []
        for fault in (fault for fault in FAULTS if self.fault in fault.name):
            of_it = [Case(moment, fault) for moment in moments_of(fault, moments)]
            if self.sample is None or (fault, scenario) == (KILL, THOROUGH):
                chosen += of_it
            else:
                chosen += draw.sample(of_it, min(self.sample, len(of_it)))
        return chosen


def moments_of(fault: Fault, moments: Sequence[Moment]) -> list[Moment]:
    """Return the moments at which the fault can be injected, each once."""
    following = [when for _, when in moments[1:]] + [""]
    return [
        (point, when)
        for (point, when), then in zip(moments, following, strict=True)
        if point.kind in fault.kinds and (fault.within or (when, then) != ("after", "before"))
    ]


def tried(made: Bench, scenario: Scenario, wanted: Wanted, share: slice) -> Iterator[Row]:
    """Run a share of the scenario's cases; yield a row for each, with its outcome."""
    moments, before, undisturbed = made.moments(scenario)
    points = [point for point, when in moments if when == "before"]
    for case in wanted.cases(scenario, moments)[share]:
        point, when = case.moment
        try:
            can_be = made.at.disk is not None or not case.fault.fills_disk
            outcome = made.outcome(scenario, case, before, undisturbed) if can_be else NOT_RUN
        except (psycopg.Error, TriptychError) as error:
            # A server that does not come back is an outcome, too.
            outcome = f"not judged: {type(error).__name__}: {error}"
        where = {"scenario": scenario.name, "strategy": scenario.strategy, "point": points.index(point) + 1}
        yield where | {"kind": point.kind, "name": point.name, "when": when, "faults": {case.fault.name: outcome}}


def joined(found: Iterable[Row]) -> list[Row]:
    """Return a row for each moment, with all its faults, in order."""
    rows: dict[tuple[int, int, bool], Row] = {}
    scenarios, faults = [scenario.name for scenario in SCENARIOS], [fault.name for fault in FAULTS]
    for row in found:
        moment = scenarios.index(row["scenario"]), row["point"], row["when"] == "after"
        rows.setdefault(moment, row)["faults"] |= row["faults"]
    for row in rows.values():
        row["faults"] = {fault: row["faults"][fault] for fault in faults if fault in row["faults"]}
    return [rows[moment] for moment in sorted(rows)]


NOT_RUN = "not run: no file system could be mounted"


def outcomes(rows: Iterable[Row]) -> Iterator[tuple[Row, str, str]]:
    """Yield each case: its row, its fault and its outcome."""
    return ((row, fault, outcome) for row in rows for fault, outcome in row["faults"].items())


def was_run(outcome: str) -> bool:
    """Whether a case could be run on this machine."""
    return not outcome.startswith("not run")


def is_wrong(outcome: str) -> bool:
    """Whether a case was run and did not end as an undisturbed run does."""
    return was_run(outcome) and not outcome.endswith(f"; {AS_UNDISTURBED}")


def failures(rows: Iterable[Row]) -> list[str]:
    """Return the cases that did not end as an undisturbed run, one line each."""
    return [
        f"{row['scenario']}: {fault} {row['when']} point {row['point']} ({row['name']}): {outcome}"
        for row, fault, outcome in outcomes(rows)
        if is_wrong(outcome)
    ]


# --- all of it ------------------------------------------------------------------------------------------------------


def ingest_rows(wanted: Wanted, stages: Sequence[Stage]) -> list[Row]:
    """Run the cases of extract and load, divided among the stages, each in a process of its own; return their rows."""
    context = multiprocessing.get_context("fork")
    shares = [slice(number, None, len(stages)) for number in range(len(stages))]
    workers = [
        context.Process(target=_work_off, args=(at, wanted, share)) for at, share in zip(stages, shares, strict=True)
    ]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        while running := [worker for worker in workers if worker.is_alive()]:
            # Again and again, because an exception in a hook of fork() is ignored.
            for worker in running:
                worker.terminate()
            running[0].join(1.0)
    if any(worker.exitcode for worker in workers):
        raise measure.BenchmarkError("a process that ran kill points failed: see above")
    return joined(json.loads(line) for at in stages for line in (at.folder / "rows").read_text().splitlines())


def _work_off(at: Stage, wanted: Wanted, share: slice) -> None:
    """Run a share of the cases, and leave their rows in the stage's folder, a case to a line."""
    # The collector would touch, and so copy, the parent's memory in every child.
    gc.disable()
    # psycopg warns of each rollback that it could not send.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    with bench(at) as made, (at.folder / "rows").open("w", buffering=1) as out:
        for scenario in wanted.scenarios():
            started, rows = time.monotonic(), []
            for row in tried(made, scenario, wanted, share):
                rows.append(row)
                print(json.dumps(row), file=out)
                for line in failures([row]):
                    print(line, flush=True)
            at.tidy()
            print(f"{scenario.name:<32} {len(rows):>5} cases {time.monotonic() - started:>6.1f} s", flush=True)


STEPS = ("load", "build")
"""Extract and load; transform and check."""


@contextmanager
def build_rows(wanted: Wanted, folder: Path) -> Iterator[Callable[[], list[Row]]]:
    """Run the cases of a build in a process beside us, because it waits for threads and we fork.

    Yields the function that waits for its rows.
    """
    words = [sys.executable, "-m", "tests.faults.build_points", "--folder", str(folder), "--seed", str(wanted.seed)]
    words += ["--only", wanted.only, *(["--sample", str(wanted.sample)] if wanted.sample is not None else [])]

    def rows() -> list[Row]:
        process.wait()
        if not (folder / "build_points.json").exists():
            raise measure.BenchmarkError(f"tests.faults.build_points failed, exit code {process.returncode}: see above")
        found: list[Row] = measure.read("build_points", folder)["rows"]
        return found

    with subprocess.Popen(words) as process:
        try:
            yield rows
        finally:
            process.terminate()


def publish(step: str, facts: dict[str, Any], rows: Sequence[Row], folder: Path) -> None:
    """Write kill_points.json: new rows of `step`, and the stored rows of the other, each with the facts of its run."""
    there = measure.read("kill_points", folder) if (folder / "kill_points.json").exists() else {"steps": {}, "rows": []}
    kept = [row for row in there["rows"] if step_of(row) != step]
    every = sorted([*kept, *rows], key=lambda row: STEPS.index(step_of(row)))
    measure.write("kill_points", {"steps": there["steps"] | {step: facts}}, every, folder)


def step_of(row: Row) -> str:
    """Return the one of `STEPS` that a row belongs to."""
    return "build" if str(row["scenario"]).startswith("build") else "load"


def main(words: Sequence[str] | None = None) -> int:
    """Run the cases and write kill_points.json; return 1 if one did not end as an undisturbed run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, help="cases of each fault in a scenario; without it, all")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", default="", help="scenarios whose name contains this")
    parser.add_argument("--fault", default="", help="faults whose name contains this")
    measure.folder_option(parser, measure.FAULT_RESULTS)
    parser.add_argument("--jobs", type=int, default=2, help="how many cases at a time, each on a server of its own")
    parser.add_argument("--step", choices=STEPS, help="this step alone; the stored results of the other stay")
    asked = parser.parse_args(words)
    wanted = Wanted(asked.only, asked.fault, asked.sample, asked.seed)
    started, rows = time.monotonic(), []
    with exits_on(signal.SIGINT, signal.SIGTERM), ExitStack() as stack:
        stages = [stack.enter_context(stage()) for _ in range(asked.jobs)]
        facts = about(stages) | {"seed": asked.seed, "complete": wanted == Wanted(seed=asked.seed)}
        found: dict[str, Callable[[], list[Row]]] = {"load": lambda: ingest_rows(wanted, stages)}
        if asked.step != "load":
            found["build"] = stack.enter_context(build_rows(wanted, stages[0].folder))
        for step in [asked.step] if asked.step else STEPS:
            of_step = found[step]()
            took = {"seconds": round(time.monotonic() - started)}
            # At once, so that a failure of the other step does not lose it.
            publish(step, facts | took, of_step, asked.folder)
            rows += of_step
    wrong, not_run = failures(rows), sum(not was_run(outcome) for *_, outcome in outcomes(rows))
    print(*wrong, f"{len(list(outcomes(rows)))} cases, {len(wrong)} not as undisturbed, {not_run} not run", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
