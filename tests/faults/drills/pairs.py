"""Two of everything (``make pairs``): one of two processes of a service dies, and is not started again.

    python -m tests.faults.drills.pairs [--on NAMES] [--only NOTHING|SERVICE[:backfill|events],...] [--again]

A backfill of six months with the load of the first ones held by locks, as in `tests.faults.drills`, or fifty events: an
ingest of each of fifty months, started one right after the other, each of which is to start one refresh
(`tests.questions.events`); the death comes after half of them have been started. In both, the process
that has more work dies. Nothing starts it again until the command has ended and no run is under way, so what goes on
is the work of the other one. The column `killed` is ``nothing`` where both live on.

    runs_doubled    months whose load was begun more than once (`tests.faults.drills.executions`)
    events_doubled  events that started more than one refresh; `events_lost` are those that started none

A drill whose row is there already, of the same version of the orchestrator, is not repeated without ``--again``.
Exit code 1 when tables differ, a reader saw part of a month, or a drill could not be carried out.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from benchmarks.harness import measure
from benchmarks.harness.measure import Row
from core.errors import TriptychError, UsageError
from core.extract import sample
from core.lab.protocol import BackfillRequest, RunRecord, service_of
from core.lab.registry import BASELINE, Orchestrator, orchestrators
from core.lab.runs import Runs
from core.month import parse_months
from core.settings import settings
from core.waiting import until
from tests.contract.bench import QUESTIONS, ROWS, Bench, opened
from tests.faults.drills import row
from tests.faults.drills.__main__ import MONTHS
from tests.faults.drills.drill import (
    JOBS,
    DrillError,
    Ground,
    at_work,
    clean_up,
    disturbed,
    ended_on_error,
    result_of,
    services_of,
    stuck,
)
from tests.faults.drills.executions import Executions, counting
from tests.faults.drills.pair_plan import BACKFILL, EVENTS, NOTHING, PAIRS, Pair, chosen, pairs, scale_of
from tests.faults.drills.plan import EXPERT, KILL, LOAD, SERVICES, Drill
from tests.faults.drills.probe import reading
from tests.faults.drills.results import Results
from tests.faults.drills.row import Course
from tests.faults.drills.watch import Watch
from tests.questions.asking import Asking
from tests.questions.events.question import INGEST, REFRESH, Chain

NAME = "pairs"

FIFTY = tuple(map(str, parse_months("2021-01..2025-02")))

SETTLE_S = 60.0
"""How long there must be no new refresh until none is to come: longer than any sensor's interval."""

STUCK_S = 180.0
"""The same while some have not ended: longer than any heartbeat."""

EVENTS_S = 1200.0
"""How long all runs of a pipeline may take."""

DEADLINE_S = 240.0
"""How long a backfill may take from the signal: Airflow takes over the tasks of a dead scheduler after 60 s."""


TWO_DAEMONS = "daemon is still sending heartbeats"
"""What Dagster's daemon logs when there is another one: each says every 30 s that it lives."""

TWO_S = 180.0
"""How long it may take until one of them has said so."""


@contextmanager
def left_alone(bench: Bench, orchestrator: Orchestrator) -> Iterator[None]:
    """Start nothing again that ends in the block, and all of it at its end."""
    stack = bench.lab.stack(orchestrator)
    stack.start()
    if "daemon" in stack.scale:
        # Dagster records one daemon, whichever it is. From its log alone it is known that there are two.
        logs = [stack.folder / "logs" / f"daemon-{n}.log" for n in (1, 2)]
        until(lambda: any(TWO_DAEMONS in log.read_text() for log in logs) or None, TWO_S, 1.0, "the second daemon")
    stack.restarts = False
    try:
        yield
    finally:
        stack.restarts = True
        stack.revive()


def backfill(ground: Ground, pair: Pair) -> Row:
    """Carry out a drill in a backfill, and return its row."""
    bench, began = ground.bench, time.monotonic()
    orchestrator = orchestrators(bench.lab.settings)[pair.orchestrator]
    schema = bench.schema()
    ground.loaded(BASELINE, schema, [ground.first])
    request = BackfillRequest(list(ground.months), str(ground.source), schema, jobs=JOBS)
    with reading(bench, schema, ground.complete) as seen:
        with left_alone(bench, orchestrator), counting(bench, pair.orchestrator) as executions:
            course = _course(ground, pair, orchestrator, request)
            course.stuck = stuck(ground, orchestrator)
        clean_up(ground, orchestrator, request, course)
        course.seen = seen
    course.identical = bench.tables(schema) == ground.tables
    return {
        **row.row(_drill(pair), course),
        **_of_both(pair, executions, began),
        # Without a death there is nothing to be noticed.
        **({"noticed_s": None, "recovered_s": None} if pair.killed == NOTHING else {}),
        "saw": seen.wrong[:3],
        "months": len(ground.months),
    }


def _course(ground: Ground, pair: Pair, orchestrator: Orchestrator, request: BackfillRequest) -> Course:
    if pair.killed != NOTHING:
        drill = _drill(pair)
        return disturbed(ground, drill, orchestrator, request, services_of(ground.bench, orchestrator, drill))
    watch = Watch()
    course = Course(time.monotonic(), ground.months[0], 0.0, watch.facts)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ground.bench.lab.backfill, orchestrator, request, watch)
        with ended_on_error(ground.bench, pair.orchestrator, running):
            course.result = result_of(ground, _drill(pair), running, course)
    return course


def _drill(pair: Pair) -> Drill:
    return Drill(pair.orchestrator, EXPERT, pair.killed, KILL, LOAD)


def _of_both(pair: Pair, executions: Executions, began: float) -> Row:
    return {
        "settings": " ".join(f"{service}:{count}" for service, count in scale_of(pair.orchestrator).items()),
        "signal": "" if pair.killed == NOTHING else KILL,
        "phase": pair.work,
        "loads": executions.of.total(),
        "runs_doubled": len(executions.doubled),
        "seconds": round(time.monotonic() - began, 1),
    }


def events(ground: Ground, pair: Pair) -> Row:
    """Ingest fifty months, kill in the middle, and return what their events started."""
    bench = ground.bench
    chain = Chain(Asking(bench, pair.orchestrator))
    orchestrator = chain.asking.runs.orchestrator
    sample.ensure(chain.folder, parse_months(f"{FIFTY[0]}..{FIFTY[-1]}"), rows=ROWS)
    before, before_ingests, began = chain.ids(), chain.ids(INGEST), time.monotonic()
    with left_alone(bench, orchestrator), counting(bench, pair.orchestrator) as executions:
        pids = _pids(bench, orchestrator, pair)
        for number, month in enumerate(FIFTY):
            if pids and number == len(FIFTY) // 2:
                at_work(pids).send_signal(signal.SIGKILL)
            chain.start(month, force=True)
        ingests = _settled(chain, before_ingests, INGEST)
        refreshes = _settled(chain, before, REFRESH)
    unfinished = [each for each in (*ingests, *refreshes) if not each.has_ended]
    if unfinished:
        # Both of the two live again.
        _settled(chain, before, REFRESH)
    counts = Counter(str(each.partition) for each in refreshes)
    return {
        "tool": pair.orchestrator,
        "killed": pair.killed,
        **_of_both(pair, executions, began),
        "events": len(FIFTY),
        "ingests_failed": sum(each.has_ended and each.state != "success" for each in ingests),
        "refreshes": len(refreshes),
        "events_doubled": sum(counts[month] > 1 for month in FIFTY),
        "events_lost": sum(counts[month] == 0 for month in FIFTY),
        "refreshes_failed": sum(each.has_ended and each.state != "success" for each in refreshes),
        "stuck": len(unfinished),
        "tables_identical": _is_complete(chain),
    }


def _pids(bench: Bench, orchestrator: Orchestrator, pair: Pair) -> list[int]:
    """Return the processes of which one is to die."""
    if pair.killed == NOTHING:
        return []
    name = SERVICES[pair.orchestrator][pair.killed]
    return [
        each.identity.pid for each in Runs(bench.lab, orchestrator).processes() if service_of(each.record.name) == name
    ]


def _settled(chain: Chain, before: set[str], pipeline: str) -> list[RunRecord]:
    """Return the new runs of the fifty months, once no further one has come, and none has ended, for so long."""
    since, known = time.monotonic(), set[tuple[str, bool]]()

    def look() -> list[RunRecord] | None:
        nonlocal since, known
        found = [run for run in chain.new(before, pipeline) if run.partition in FIFTY]
        if known != (now := {(run.run_id, run.has_ended) for run in found}):
            since, known = time.monotonic(), now
        is_over = time.monotonic() - since > (SETTLE_S if all(run.has_ended for run in found) else STUCK_S)
        return found if is_over else None

    return until(look, EVENTS_S, 2.0, f"the last run of {pipeline}")


def _is_complete(chain: Chain) -> bool:
    """Return whether the models hold all rows of the raw table, month by month."""
    query = sql.SQL("SELECT source_month, count(*) FROM {} GROUP BY 1 ORDER BY 1")
    with chain.bench.connect() as connection:
        raw, built = (
            connection.execute(query.format(sql.Identifier(chain.schema, table))).fetchall()
            for table in ("raw_trips", "fct_trips")
        )
    return bool(raw) and raw == built


@contextmanager
def ground(orchestrator: str, work: str) -> Iterator[Ground]:
    """Open a bench with two of everything of one orchestrator."""
    home = settings().home
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pairs-", dir=home) as folder:
        source = Path(folder) / "files"
        sample.ensure(source, parse_months(f"{MONTHS[0]}..{MONTHS[-1]}"), rows=ROWS)
        pipelines = QUESTIONS if work == EVENTS else ""
        variables = {"TRIPTYCH_LOCK_WAIT_S": "900"}
        scale = {orchestrator: scale_of(orchestrator)}
        with opened(Path(folder), pipelines, variables, scale=scale) as bench:
            found = Ground(bench, source, MONTHS[0], MONTHS[1:], DEADLINE_S)
            if work == BACKFILL:
                found.prepare()
            yield found


def one(at: Ground, pair: Pair) -> Row:
    """Carry out a drill; raise `DrillError` when that is not possible."""
    try:
        return backfill(at, pair) if pair.work == BACKFILL else events(at, pair)
    except (TriptychError, psycopg.Error, psutil.Error, AssertionError, TimeoutError) as error:
        raise DrillError(f"{type(error).__name__}: {error}") from error


def is_wrong(found: Row) -> bool:
    """Return whether the promise was broken."""
    return not found["tables_identical"] or found.get("partial_reads", 0) > 0


def main(argv: list[str] | None = None) -> int:
    """Carry out the drills, and write their rows."""
    parser = argparse.ArgumentParser(prog="tests.faults.drills.pairs", description=__doc__.splitlines()[0])
    parser.add_argument("--on", default=",".join(PAIRS), help="orchestrators, comma separated")
    parser.add_argument("--only", default="", help="what is killed, each with a kind of work or without: api:events")
    parser.add_argument("--again", action="store_true", help="repeat the drills that have a row")
    measure.folder_option(parser)
    asked = parser.parse_args(argv)
    names = asked.on.split(",")
    if unknown := {*names} - {*PAIRS}:
        parser.error(f"--on {', '.join(sorted(unknown))}: choose from {', '.join(PAIRS)}")
    try:
        drills = [each for name in names for each in chosen(pairs(name), asked.only)]
    except UsageError as error:
        parser.error(str(error))
    results, failed = recorded(asked.folder), 0
    for name, work in dict.fromkeys((each.orchestrator, each.work) for each in drills):
        with ground(name, work) as at:
            results.describe(at.bench, [name])
            failed += part(
                at, [each for each in drills if (each.orchestrator, each.work) == (name, work)], results, asked.again
            )
    print(os.path.relpath(asked.folder / f"{NAME}.json"))
    return int(failed > 0)


def recorded(folder: Path) -> Results:
    """Return the rows so far."""
    order = [each.name for name in PAIRS for each in pairs(name)]
    return Results(NAME, folder, lambda row: " ".join(row[key] for key in ("tool", "killed", "phase")), order)


def part(at: Ground, drills: Sequence[Pair], results: Results, again: bool) -> int:
    """Carry out the drills that share services, and add their rows; return how many went wrong."""
    failed = 0
    for pair in drills:
        if results.has(pair.name, pair.orchestrator) and not again:
            continue
        print(f"{pair.name}: ", end="", flush=True)
        load_average = round(os.getloadavg()[0], 2)
        try:
            found = one(at, pair)
        except DrillError as error:
            failed += 1
            print(f"NOT CARRIED OUT: {error}", flush=True)
            continue
        results.add({**found, "load_average": load_average})
        failed += is_wrong(found)
        print(found, flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
