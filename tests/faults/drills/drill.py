"""One drill: a backfill, a signal in the middle of it, the same command again, and what is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from benchmarks.harness.measure import Row
from core.errors import TransientError, TriptychError
from core.lab import processes
from core.lab.postgres import Postgres
from core.lab.protocol import BackfillRequest, BackfillResult, RunRecord
from core.lab.registry import BASELINE, Orchestrator, orchestrators
from core.lab.runs import Runs
from core.waiting import until
from tests.contract.bench import Bench, Tables, is_alive
from tests.faults.drills import row
from tests.faults.drills.orphan import following
from tests.faults.drills.phases import Hold, held
from tests.faults.drills.plan import ABOVE, DATABASE, KILL, SERVICES, STEP, Drill
from tests.faults.drills.probe import Months, complete_months, reading
from tests.faults.drills.row import Course
from tests.faults.drills.watch import Watch

JOBS = 2

SETTLE_S = 30.0
"""How long a run may take to end after the command that started it: Prefect needs 20 s to cancel a backfill."""

AGAIN_S = 120.0
"""How long the same command may take when it runs again; a run that is stuck may hold it up for ever."""


class DrillError(Exception):
    """A drill could not be carried out: its row would say nothing about the orchestrator."""


@dataclass
class Ground:
    """Where drills take place: a bench, the months, and what a complete schema holds."""

    bench: Bench
    source: Path
    first: str
    """The month that the baseline has loaded before each drill."""
    months: Sequence[str]
    """The months of the backfill."""
    deadline_s: float = 180.0
    """How long the backfill may take from the signal, besides the time for which a process is stopped."""
    tables: Tables = field(default_factory=dict)
    complete: Mapping[str, Months] = field(default_factory=dict)

    def prepare(self) -> None:
        """Load all months with the baseline, and keep what the tables then hold."""
        schema = self.bench.schema()
        self.loaded(BASELINE, schema, [self.first, *self.months])
        self.tables, self.complete = self.bench.tables(schema), complete_months(self.bench, schema)

    def loaded(self, name: str, schema: str, months: Sequence[str]) -> None:
        """Load months undisturbed."""
        result = self.bench.backfill(name, months, self.source, schema)
        if result.status != "success":
            raise DrillError(f"{name}: {[month.error for month in result.months if month.error]}")


@dataclass
class Victim:
    """The processes that get the signal, in this order."""

    processes: list[psutil.Process]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to each that still lives."""
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def carry_out(ground: Ground, drill: Drill) -> Row:
    """Carry out one drill, and return its row."""
    bench, began = ground.bench, time.monotonic()
    orchestrator = orchestrators(bench.lab.settings)[drill.orchestrator]
    schema = bench.schema()
    ground.loaded(BASELINE, schema, [ground.first])
    services = {each.record.name: each.identity.pid for each in Runs(bench.lab, orchestrator).processes()}
    request = BackfillRequest(list(ground.months), str(ground.source), schema, jobs=JOBS)
    with reading(bench, schema, ground.complete) as seen:
        course = _disturbed(ground, drill, orchestrator, request, services)
        _clean_up(ground, orchestrator, request, course)
        course.seen = seen
    course.identical = bench.tables(schema) == ground.tables
    return {
        **row.row(drill, course),
        "seconds": round(time.monotonic() - began, 1),
        "saw": seen.wrong[:3],
        "months": len(ground.months),
    }


def _disturbed(
    ground: Ground, drill: Drill, orchestrator: Orchestrator, request: BackfillRequest, services: Mapping[str, int]
) -> Course:
    """Run the backfill, and send the signal when it is in its phase; return once the command has ended."""
    bench, watch = ground.bench, Watch()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        hold = stack.enter_context(held(bench, request.schema, drill.phase, ground.months))
        running = pool.submit(bench.lab.backfill, orchestrator, request, watch)
        stack.enter_context(_interrupted_on_error(bench, drill.orchestrator, running, hold))
        hold.reach(watch, lambda: _check(running))
        step = hold.step()
        victim = _victim(bench, drill, step, services)
        with following(bench, step) as transactions:
            course = Course(time.monotonic(), hold.month, 0.0, watch.facts)
            _signal(drill, victim, hold, course)
            course.result = _result(ground, drill, running, course)
            course.said = list(bench.said)
            # What the step's process does once the command has ended counts too.
            if step is not None and not (drill.component == STEP and drill.signal == KILL):
                _await_end(step)
        # With the server, only transactions die: the same process makes the next attempt.
        if drill.component != DATABASE:
            course.orphan_wrote = transactions.committed_after(bench, row.lost_at(course))
    return course


def _signal(drill: Drill, victim: Victim, hold: Hold, course: Course) -> None:
    """Send the signal, and let the backfill go on.

    A step is held until its loss is noticed, so that its process, if it still lives, meets the next attempt. The death
    of a service holds up nothing: the step goes on while there is none.
    """

    def lost() -> bool | None:
        return row.lost_at(replace(course, released=time.monotonic())) is not None or None

    if drill.signal == KILL:
        victim.send(signal.SIGKILL)
        if not drill.is_service:
            with suppress(TransientError):
                until(lost, drill.heartbeat_s, 0.05, "the loss, noticed")
        _release(hold, course)
        return
    victim.send(signal.SIGSTOP)
    try:
        if drill.is_service and drill.component != DATABASE:
            _release(hold, course)
        end = course.signaled + drill.heartbeat_s
        while time.monotonic() < end:
            time.sleep(0.1)
    finally:
        victim.send(signal.SIGCONT)
    if not course.released:
        _release(hold, course)


def _release(hold: Hold, course: Course) -> None:
    course.released = time.monotonic()
    hold.release()


def _victim(bench: Bench, drill: Drill, step: int | None, services: Mapping[str, int]) -> Victim:
    if drill.component == DATABASE:
        server = Postgres(bench.lab.settings.home / "postgres", bench.lab.settings.pg_bin).running()
        if server is None:
            raise DrillError("PostgreSQL does not run")
        # Killed, the server takes its backends along; stopped, each of them has to be.
        backends = server.process.children(recursive=True) if drill.signal != KILL else []
        return Victim([server.process, *backends])
    if drill.component in (STEP, ABOVE):
        if step is None:
            raise DrillError(f"{drill.name}: no step is under way")
        process = psutil.Process(step)
        if drill.component == STEP:
            return Victim([process])
        above = process.parent()
        if above is None or above.pid in (1, os.getpid()):
            raise DrillError(f"{drill.name}: no process of {drill.orchestrator} has started the step")
        return Victim([above])
    name = SERVICES[drill.orchestrator][drill.component]
    return Victim([psutil.Process(services[name])])


def _check(running: Future[BackfillResult]) -> None:
    if running.done():
        ended = running.result()
        raise DrillError(f"the backfill ended before its phase: {[month.error for month in ended.months]}")


def _result(ground: Ground, drill: Drill, running: Future[BackfillResult], course: Course) -> BackfillResult | None:
    """Return the result of the backfill; interrupt the command, as a person does, when it does not end."""
    wait_s = ground.deadline_s + (drill.heartbeat_s if drill.signal == KILL else 0.0)
    try:
        return running.result(wait_s)
    except TimeoutError:
        course.by_hand.append("the command was interrupted")
        _interrupt(ground.bench, drill.orchestrator)
        running.result()
        return None


def _interrupt(bench: Bench, name: str) -> None:
    """End the runner of the backfill like Ctrl-C: it cancels the backfill before it ends."""
    for leader in processes.leaders(bench.lab.settings.home / name / "runs"):
        with suppress(ProcessLookupError):
            os.kill(leader.pid, signal.SIGTERM)


@contextmanager
def _interrupted_on_error(bench: Bench, name: str, running: Future[BackfillResult], hold: Hold) -> Iterator[None]:
    """End the backfill when the block fails: nothing else would."""
    try:
        yield
    except BaseException:
        hold.release()
        while not running.done():
            _interrupt(bench, name)
            with suppress(TimeoutError, TriptychError):
                running.result(5.0)
        raise


def _await_end(step: int) -> None:
    with suppress(TransientError):
        until(lambda: not is_alive(step) or None, SETTLE_S, 0.1, f"the end of process {step}")


def _clean_up(ground: Ground, orchestrator: Orchestrator, request: BackfillRequest, course: Course) -> None:
    """Count the runs that are stuck, run the same command again, and free what holds it up."""
    bench = ground.bench
    course.stuck = len(_unfinished(bench, orchestrator))
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(bench.lab.backfill, orchestrator, request)
        try:
            again.result(AGAIN_S)
        except TimeoutError:
            course.by_hand.append(_freed(bench, orchestrator))
            with suppress(TimeoutError):
                again.result(AGAIN_S)
            while not again.done():
                _interrupt(bench, orchestrator.name)
                with suppress(TimeoutError):
                    again.result(5.0)
    if course.stuck and (left := _unfinished(bench, orchestrator)):
        # They held nothing up. The next drill must not find them.
        course.by_hand.append(_freed(bench, orchestrator, left))


def _freed(bench: Bench, orchestrator: Orchestrator, left: Sequence[RunRecord] | None = None) -> str:
    """Cancel the runs that are left; where that does not end them, restart the services. Return what it took."""
    runs = Runs(bench.lab, orchestrator)
    for run in left if left is not None else [each for each in runs.newest() if not each.has_ended]:
        with suppress(TriptychError):
            runs.cancel(run.pipeline, run.run_id)
    if not _unfinished(bench, orchestrator):
        return "the stuck runs were canceled"
    bench.end(orchestrator.name)
    return "the stuck runs were canceled, and the services restarted"


def _unfinished(bench: Bench, orchestrator: Orchestrator) -> list[RunRecord]:
    """Return the runs that have not ended after all the time that a run may take to do so."""
    runs, end = Runs(bench.lab, orchestrator), time.monotonic() + SETTLE_S
    while left := [each for each in runs.newest() if not each.has_ended]:
        if time.monotonic() > end:
            break
        time.sleep(1.0)
    return left
