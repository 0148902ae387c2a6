"""One trouble of the database, in the middle of a backfill or after it, and the same command again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from psycopg import sql

from benchmarks.harness.measure import Row
from core.lab.protocol import BackfillRequest, BackfillResult, RunRecord
from core.lab.registry import BASELINE, Orchestrator, orchestrators
from core.lab.runs import Runs
from tests.faults.database import restore
from tests.faults.database.address import Address, at_port, at_socket, moved
from tests.faults.database.plan import CONNECTIONS, FAILOVER, FULL, LASTS_S, MIDWAY, RESTORED, TIMEOUT
from tests.faults.database.troubles import ShortHold, a_disk_that_may_fill, end_sessions, full, no_connection_free
from tests.faults.drills.drill import JOBS, DrillError, Ground, clean_up, disturbed, stuck, unfinished
from tests.faults.drills.phases import Hold, held
from tests.faults.drills.plan import DATABASE, EXPERT, LOAD, Drill
from tests.faults.drills.probe import reading
from tests.faults.drills.row import Course, attempts, lost_at
from tests.faults.drills.watch import landed_at

LOOK_S = 20.0
"""How long a tool whose records were put back is watched at least: it may begin something by itself."""

SETTLED_S = 120.0
"""How long what it then runs by itself may take: Airflow notices a lost task after 30 s, Dagster looks every 15 s."""


@dataclass
class Place:
    """The server that a drill is about."""

    dsn: str
    """How to reach it past its `address`."""
    address: Address | None = None
    """What all others know, where they know that only."""
    port: int = 0
    socket: str = ""
    """Where else it is: the same server, at a Unix socket."""


def carry_out(ground: Ground, place: Place, orchestrator: str, trouble: str, lasts_s: float | None = None) -> Row:
    """Carry out one drill, and return its row. `lasts_s` is how long the trouble lasts (default: as planned)."""
    began, schema = time.monotonic(), ground.bench.schema()
    of = orchestrators(ground.bench.lab.settings)[orchestrator]
    ground.loaded(BASELINE, schema, [ground.first])
    ground.bench.lab.start([of])
    lasts_s = LASTS_S.get(trouble, 0.0) if lasts_s is None else lasts_s
    with reading(ground.bench, schema, ground.complete) as seen:
        if trouble in (RESTORED, MIDWAY):
            course, further = _restored(ground, of, schema, trouble)
        else:
            course, further = _troubled(ground, place, of, schema, trouble, lasts_s), {}
    course.identical = ground.bench.tables(schema) == ground.tables
    failed = [each for each in course.result.months if each.error] if course.result else []
    return {
        "tool": orchestrator,
        "trouble": trouble,
        "lasts_s": lasts_s,
        "noticed_s": _seconds(course, lost_at(course)),
        "recovered_s": _seconds(course, landed_at(course.facts, course.month, course.signaled)),
        "attempts": attempts(course),
        "failed": len(failed),
        "error": failed[0].error if failed else None,
        "stuck": course.stuck,
        "needed_hand": "; ".join(course.by_hand) or None,
        "again": course.again.status if course.again else None,
        "ran_again": None,
        "tables_identical": course.identical,
        "looks": seen.looks,
        "partial_reads": len(seen.wrong),
        "saw": seen.wrong[:3],
        "months": len(ground.months),
        **further,
        "seconds": round(time.monotonic() - began, 1),
    }


def _request(ground: Ground, schema: str) -> BackfillRequest:
    return BackfillRequest(list(ground.months), str(ground.source), schema, jobs=JOBS)


def _drill(orchestrator: Orchestrator, trouble: str) -> Drill:
    return Drill(orchestrator.name, EXPERT, DATABASE, trouble, LOAD)


def _seconds(course: Course, at: float | None) -> float | None:
    return None if at is None else round(at - course.signaled, 2)


# --- troubles that end by themselves


def _troubled(
    ground: Ground, place: Place, orchestrator: Orchestrator, schema: str, trouble: str, lasts_s: float
) -> Course:
    """Run a backfill, and let it have the trouble from the moment at which two loads are under way."""
    request = _request(ground, schema)
    holder = partial(held, kind=ShortHold) if trouble == TIMEOUT else held

    def strike(there: Callable[[], AbstractContextManager[object]], hold: Hold, course: Course) -> None:
        with there():
            course.signaled = time.monotonic()
            # The lock is part of the trouble where a time-out is about waiting.
            if trouble != TIMEOUT:
                _release(hold, course)
            # The time itself is what is asked for.
            time.sleep(lasts_s)
        if trouble == TIMEOUT:
            _release(hold, course)

    with _prepared(ground, place, orchestrator, trouble) as there:
        drill = _drill(orchestrator, trouble)
        course = disturbed(ground, drill, orchestrator, request, {}, holder, partial(strike, there))
    course.stuck = stuck(ground, orchestrator)
    clean_up(ground, orchestrator, request, course)
    return course


def _release(hold: Hold, course: Course) -> None:
    course.released = time.monotonic()
    hold.release()


@contextmanager
def _prepared(
    ground: Ground, place: Place, orchestrator: Orchestrator, trouble: str
) -> Iterator[Callable[[], AbstractContextManager[object]]]:
    """Prepare for a trouble, and yield what begins it and ends it."""
    if trouble == CONNECTIONS:
        yield lambda: no_connection_free(place.dsn)
    elif trouble == FAILOVER:
        yield lambda: _failover(place)
    elif trouble == FULL:
        records = _records(ground, orchestrator)
        with a_disk_that_may_fill(records):
            yield lambda: full(records)
    else:
        yield lambda: contextmanager(lambda: iter([None]))()


@contextmanager
def _failover(place: Place) -> Iterator[None]:
    """Cut all connections, end what they were in the middle of, and let the address lead elsewhere at the end."""
    if place.address is None:
        raise DrillError("the server has one address only")
    with moved(place.address, at_socket(place.socket)):
        end_sessions(place.dsn)
        yield


def back(place: Place) -> None:
    """Let the address lead to where it led first, for the next drill."""
    if place.address:
        place.address.lead_to(at_port(place.port))


def _records(ground: Ground, orchestrator: Orchestrator) -> str:
    [dsn] = ground.bench.databases(orchestrator.name)
    return dsn


# --- records that are put back


def _restored(ground: Ground, orchestrator: Orchestrator, schema: str, trouble: str) -> tuple[Course, Row]:
    """Put the orchestrator's records back after a backfill, as they were before it or in its middle; look on."""
    bench, request, runs = ground.bench, _request(ground, schema), Runs(ground.bench.lab, orchestrator)
    records = _records(ground, orchestrator)
    with restore.copied(bench.lab.dsn, records) as copy:
        if trouble == RESTORED:
            bench.end(orchestrator.name)
            copy.take()
            _check(bench.lab.backfill(orchestrator, request))
        else:
            _check(_copied_midway(ground, orchestrator, request, copy))
        knew = {run.run_id for run in runs.newest(limit=100)}
        bench.end(orchestrator.name)
        copy.put_back()
    return _looked_on(ground, orchestrator, request, knew)


def _copied_midway(
    ground: Ground, orchestrator: Orchestrator, request: BackfillRequest, copy: restore.Copy
) -> BackfillResult | None:
    """Run a backfill, and take the copy while two loads are held: for that moment, nobody may use the records."""

    def strike(hold: Hold, course: Course) -> None:
        copy.take()
        _release(hold, course)

    return disturbed(ground, _drill(orchestrator, MIDWAY), orchestrator, request, {}, held, strike).result


def _check(result: BackfillResult | None) -> None:
    if result is None or result.status != "success":
        raise DrillError(f"the backfill before failed: {[each.error for each in result.months] if result else result}")


def _looked_on(
    ground: Ground, orchestrator: Orchestrator, request: BackfillRequest, knew: set[str]
) -> tuple[Course, Row]:
    """Start the services, look at what they run by themselves, and then run the same command again."""
    schema, runs = str(request.parameters["schema"]), Runs(ground.bench.lab, orchestrator)
    loaded, began = _marks(ground, schema), time.monotonic()
    at_first = runs.newest(limit=100)
    # The time itself is what is asked for: nothing may happen at once.
    time.sleep(LOOK_S)
    left = unfinished(ground, orchestrator, SETTLED_S)
    settled = time.monotonic()
    by_itself = _marks(ground, schema)
    then = runs.newest(limit=100)
    course = Course(began, "", began)
    course.stuck = stuck(ground, orchestrator)
    clean_up(ground, orchestrator, request, course)
    at_command = _marks(ground, schema)
    return course, {
        "recovered_s": None if left or not _under_way(at_first) else round(settled - began, 1),
        "forgot": len(knew - {run.run_id for run in at_first}),
        "records": {"restored": _said(at_first), "by itself": _said(then), "again": _said(runs.newest(limit=100))},
        "ran_again": _changed(loaded, by_itself),
        "ran_again_at_command": _changed(by_itself, at_command),
    }


def _under_way(runs: Sequence[RunRecord]) -> bool:
    return any(not run.has_ended for run in runs)


def _said(runs: Sequence[RunRecord]) -> str:
    """Return how many runs there are in each state."""
    return ", ".join(f"{count} {state}" for state, count in sorted(Counter(run.state for run in runs).items()))


def _marks(ground: Ground, schema: str) -> dict[str, tuple[int, str]]:
    """Return for each month when an attempt last found it loaded, as a number that only grows, and by which run."""
    with ground.bench.connect() as connection:
        query = sql.SQL("SELECT to_char(month, 'YYYY-MM'), seen, run_id FROM {} WHERE month IS NOT NULL")
        rows = connection.execute(query.format(sql.Identifier(schema, "load_ledger"))).fetchall()
    return {str(month): (int(str(seen)), str(run)) for month, seen, run in rows}


def _changed(before: dict[str, tuple[int, str]], after: dict[str, tuple[int, str]]) -> int:
    """Return for how many months an attempt came in between."""
    return sum(after[month] != mark for month, mark in before.items())
