"""One drill: a backfill, a signal in the middle of it, the same command again, and what is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from benchmarks.harness.measure import Row
from core.errors import TransientError, TriptychError
from core.lab import processes
from core.lab.postgres import Postgres
from core.lab.protocol import BackfillRequest, BackfillResult, RunRecord, service_of
from core.lab.registry import BASELINE, Orchestrator, orchestrators
from core.lab.runs import Runs
from core.run import counted
from core.waiting import until
from tests.contract.bench import Bench, Tables, end, is_alive
from tests.faults.drills import row
from tests.faults.drills.orphan import following
from tests.faults.drills.phases import Hold, held
from tests.faults.drills.plan import ABOVE, DATABASE, HOST, KILL, ON_HOST, SERVICES, STEP, Drill
from tests.faults.drills.probe import Months, complete_months, reading
from tests.faults.drills.row import Course
from tests.faults.drills.watch import Watch

JOBS = 2

SETTLE_S = 25.0
"""How long a run may take to end after the command that started it: Prefect needs 20 s to cancel a backfill."""


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
    deadline_s: float = 100.0
    """How long a command may take: the first from the signal, the second from its start."""
    given_up: set[str] = field(default_factory=set)
    """The runs that nothing ended."""
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
        if number == signal.SIGKILL and len(self.processes) > 1:
            # None of them sees another one die.
            self.send(signal.SIGSTOP)
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def carry_out(ground: Ground, drill: Drill) -> Row:
    """Carry out one drill, and return its row."""
    bench, began = ground.bench, time.monotonic()
    orchestrator = orchestrators(bench.lab.settings)[drill.orchestrator]
    schema = bench.schema()
    ground.loaded(BASELINE, schema, [ground.first])
    services = services_of(bench, orchestrator, drill)
    request = BackfillRequest(list(ground.months), str(ground.source), schema, jobs=JOBS)
    with reading(bench, schema, ground.complete) as seen:
        course = disturbed(ground, drill, orchestrator, request, services)
        course.stuck = stuck(ground, orchestrator)
        clean_up(ground, orchestrator, request, course)
        course.seen = seen
    course.identical = bench.tables(schema) == ground.tables
    return {
        **row.row(drill, course),
        "seconds": round(time.monotonic() - began, 1),
        "saw": seen.wrong[:3],
        "months": len(ground.months),
    }


def services_of(bench: Bench, orchestrator: Orchestrator, drill: Drill) -> dict[str, list[int]]:
    """Return the processes of each service by its name, where the drill is about one of them."""
    found: dict[str, list[int]] = {}
    if drill.component in SERVICES.get(drill.orchestrator, ()):
        for each in Runs(bench.lab, orchestrator).processes():
            found.setdefault(service_of(each.record.name), []).append(each.identity.pid)
    return found


Holder = Callable[[Bench, str, str, Sequence[str]], AbstractContextManager[Hold]]
"""Holds a backfill of a schema in a phase, given its months."""

Strike = Callable[[Hold, Course], None]
"""Does what the drill is about, once the backfill is in its phase, and lets the backfill go on."""


def disturbed(
    ground: Ground,
    drill: Drill,
    orchestrator: Orchestrator,
    request: BackfillRequest,
    services: Mapping[str, Sequence[int]],
    holder: Holder = held,
    strike: Strike | None = None,
) -> Course:
    """Run the backfill, and send the signal when it is in its phase; return once the command has ended.

    `strike` is done instead of sending a signal.
    """
    bench, watch = ground.bench, Watch()
    schema = str(request.parameters["schema"])
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        hold = stack.enter_context(holder(bench, schema, drill.phase, ground.months))
        running = pool.submit(bench.lab.backfill, orchestrator, request, watch)
        stack.enter_context(ended_on_error(bench, drill.orchestrator, running))
        stack.callback(hold.release)
        hold.reach(watch, lambda: _check(running))
        step = hold.step()
        victim = None if strike else _victim(bench, orchestrator, drill, step, services)
        with following(bench, step) as transactions:
            course = Course(time.monotonic(), hold.month, 0.0, watch.facts)
            if strike:
                strike(hold, course)
            if victim:
                _signal(drill, victim, hold, course)
            course.result = result_of(ground, drill, running, course)
            course.said = list(bench.said)
            # What the step's process does once the command has ended counts too.
            if step is not None and not _has_ended(step):
                course.by_hand.append("the process of the step had to be killed")
                end(step)
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
        # The time itself is what is asked for: longer than the heartbeat.
        time.sleep(max(0.0, course.signaled + drill.heartbeat_s - time.monotonic()))
    finally:
        victim.send(signal.SIGCONT)
    if not course.released:
        _release(hold, course)


def _release(hold: Hold, course: Course) -> None:
    course.released = time.monotonic()
    hold.release()


def _victim(
    bench: Bench, orchestrator: Orchestrator, drill: Drill, step: int | None, services: Mapping[str, Sequence[int]]
) -> Victim:
    if drill.component == DATABASE:
        server = Postgres(bench.lab.settings.home / "postgres", bench.lab.settings.pg_bin).running()
        if server is None:
            raise DrillError("PostgreSQL does not run")
        # Killed, the server takes its backends along; stopped, each of them has to be.
        backends = server.process.children(recursive=True) if drill.signal != KILL else []
        return Victim([server.process, *backends])
    if drill.component == HOST:
        return Victim(_on_host(Runs(bench.lab, orchestrator)))
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
    return Victim([at_work(services[name], step)])


def at_work(pids: Sequence[int], step: int | None = None) -> psutil.Process:
    """Return that of several processes which has started a step, or else the one with most processes below it."""
    above = {each.pid for each in psutil.Process(step).parents()} if step is not None else set()
    found = [psutil.Process(pid) for pid in pids]
    return max(found, key=lambda each: (each.pid in above, len(each.children(recursive=True))))


def _on_host(runs: Runs) -> list[psutil.Process]:
    """Return the processes that die with the machine that does the work, the services first."""
    found: dict[int, psutil.Process] = {}
    for each in runs.processes():
        if each.record.role in ON_HOST:
            with suppress(psutil.NoSuchProcess):
                leader = psutil.Process(each.identity.pid)
                found |= {one.pid: one for one in (leader, *leader.children(recursive=True))}
    return list(found.values())


def _check(running: Future[BackfillResult]) -> None:
    if running.done():
        ended = running.result()
        raise DrillError(f"the backfill ended before its phase: {[month.error for month in ended.months]}")


def result_of(ground: Ground, drill: Drill, running: Future[BackfillResult], course: Course) -> BackfillResult | None:
    """Return the result of the backfill; interrupt the command, as a person does, when it does not end."""
    try:
        return running.result(max(ground.deadline_s, drill.heartbeat_s + ground.deadline_s / 2))
    except TimeoutError:
        course.by_hand.append("the command was interrupted")
        _interrupt(ground.bench, drill.orchestrator, running)
        return None


def _interrupt(bench: Bench, name: str, running: Future[BackfillResult]) -> None:
    """End the runner of the backfill like Ctrl-C: it cancels the backfill before it ends."""
    while not running.done():
        for leader in processes.leaders(bench.lab.settings.home / name / "runs"):
            with suppress(ProcessLookupError):
                os.kill(leader.pid, signal.SIGTERM)
        # It cancels through an API that may be away, which it calls for 90 s.
        with suppress(TimeoutError, TriptychError):
            running.result(20.0)


@contextmanager
def ended_on_error(bench: Bench, name: str, running: Future[BackfillResult]) -> Iterator[None]:
    """End the backfill when the block fails: nothing else would."""
    try:
        yield
    except BaseException:
        _interrupt(bench, name, running)
        raise


def _has_ended(step: int) -> bool:
    """Return whether a process ends within the time that a run may take to do so."""
    with suppress(TransientError):
        return until(lambda: not is_alive(step) or None, SETTLE_S, 0.1, f"the end of process {step}")
    return False


def stuck(ground: Ground, orchestrator: Orchestrator) -> int:
    """Return how many runs have not ended, long after the command."""
    return len(unfinished(ground, orchestrator, SETTLE_S))


def clean_up(ground: Ground, orchestrator: Orchestrator, request: BackfillRequest, course: Course) -> None:
    """Run the same command again, and free what holds it up."""
    bench = ground.bench
    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(bench.lab.backfill, orchestrator, request)
        with ended_on_error(bench, orchestrator.name, again):
            try:
                course.again = again.result(ground.deadline_s)
            except TimeoutError:
                held_up = unfinished(ground, orchestrator, 0.0)
                course.by_hand.append(f"the same command did not end: {_freed(ground, orchestrator, held_up)}")
                with suppress(TimeoutError):
                    course.again = again.result(ground.deadline_s)
                _interrupt(bench, orchestrator.name, again)
    if course.stuck and (left := unfinished(ground, orchestrator, 0.0)):
        # They held nothing up. The next drill must not find them.
        course.by_hand.append(_freed(ground, orchestrator, left))


def _freed(ground: Ground, orchestrator: Orchestrator, left: Sequence[RunRecord]) -> str:
    """Cancel runs, and restart the services where that does not end them; return what it took."""
    runs = Runs(ground.bench.lab, orchestrator)
    for run in left:
        with suppress(TriptychError):
            runs.cancel(run.pipeline, run.run_id)
    if not unfinished(ground, orchestrator, SETTLE_S):
        return f"{counted(len(left), 'run')} had to be canceled"
    ground.bench.end(orchestrator.name)
    still = unfinished(ground, orchestrator, 0.0)
    ground.given_up |= {run.run_id for run in still}
    outlived = f", which {counted(len(still), 'run')} outlived" if still else ""
    return f"{counted(len(left), 'run')} had to be canceled, and the services restarted{outlived}"


def unfinished(ground: Ground, orchestrator: Orchestrator, wait_s: float) -> list[RunRecord]:
    """Return the runs that have not ended within so long, without those that an earlier drill has given up."""
    runs, deadline = Runs(ground.bench.lab, orchestrator), time.monotonic() + wait_s
    while left := [run for run in runs.newest() if not run.has_ended and run.run_id not in ground.given_up]:
        if time.monotonic() >= deadline:
            break
        time.sleep(1.0)
    return left
