"""What dies during a backfill is reported and started again; what had ended by then is reported as it ended."""

from __future__ import annotations

import datetime as dt
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Timer
from typing import Any

import httpx
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from core import ledger
from core.errors import PermanentError
from core.extract import sample
from core.lab import processes, supervisor
from core.lab.identity import Identity
from core.lab.postgres import Postgres
from core.lab.protocol import BackfillRequest, BackfillResult
from core.lab.registry import BASELINE, Orchestrator, orchestrators
from core.lab.running import Running
from core.lab.session import Lab
from core.lab.state import end_all, survey
from core.lab.supervisor import Supervisor
from core.month import Month, parse_months
from core.settings import Settings
from core.waiting import until
from tests.integration.fake_orchestrators import WAIT, WEB, MakeOrchestrator

pytestmark = pytest.mark.slow

MONTHS = ["2024-01", "2024-02"]
TOLD_S = 5.0
BACK_S = 60.0

OTHER = 'Step(start=[python, "-m", "http.server", str(ports["other"]), "--bind", "127.0.0.1"], name="other")'
OTHER_WAIT = 'Step(wait="http://127.0.0.1:%d/" % ports["other"])'
GO = """
progress(months[0], "success")
progress(months[1], "running")
while not (home / "go").exists():
    time.sleep(0.02)
progress(months[1], "success")
"""


@dataclass
class Told:
    """The lines that a lab reported, and when."""

    lines: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, line: str) -> None:
        self.lines.append((time.monotonic(), line))

    def wait(self, text: str, since: int = 0) -> str:
        """Return the first line after the first `since` that holds `text`, as soon as it is reported."""

        def probe() -> str | None:
            return next((line for _, line in self.lines[since:] if text in line), None)

        return until(probe, BACK_S, 0.02, f"a line with {text!r}; told was {self.lines}")

    def after(self, moment: float, text: str) -> float:
        """Return how long after `moment` it was reported."""
        return next(when for when, line in self.lines if text in line) - moment


@pytest.fixture
def two(orchestrator: MakeOrchestrator) -> Orchestrator:
    """An orchestrator with two services, whose backfill ends its first month, and waits in the second until `go_on`."""
    body = "from pathlib import Path\nhome = Path(request['endpoint']['home'])" + GO
    return orchestrator(ports="['web', 'other']", steps=f"{WEB}, {WAIT}, {OTHER}, {OTHER_WAIT}", body=body)


def request() -> BackfillRequest:
    return BackfillRequest(list(MONTHS), "nowhere", "fake")


@contextmanager
def working(lab: Lab, orchestrator: Orchestrator) -> Iterator[Future[BackfillResult]]:
    """Run a backfill, and enter the block in the middle of its second month."""
    seen: list[tuple[str, str, str]] = []
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lab.backfill, orchestrator, request(), lambda *fact, **_: seen.append(fact))
        try:
            until(lambda: (MONTHS[1], "running", "") in seen or future.done() or None, BACK_S, 0.02, "the second month")
            assert not future.done(), future.result()
            yield future
        finally:
            go_on(lab.settings)


def go_on(state: Settings) -> None:
    (state.home / "fake" / "home" / "go").touch()


def running(state: Settings) -> Running:
    found = Running.read(state.home / "fake" / "services.json")
    assert found
    return found


def kill(identity: Identity) -> float:
    """End it as the OOM killer does; return the time."""
    os.kill(identity.pid, signal.SIGKILL)
    return time.monotonic()


def answers(port: int) -> bool | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 200 or None
    except httpx.TransportError:
        return None


def test_a_service_that_is_killed_is_reported_and_restarted_on_its_port(state: Settings, two: Orchestrator) -> None:
    told = Told()
    with Lab(state, told) as lab, working(lab, two) as future:
        before = running(state)
        web, other = before.processes
        killed = kill(web)
        told.wait("fake: restarted web (1 of 3)")
        line = f"fake: web was killed by signal 9; see {state.home / 'fake' / 'logs' / 'web.log'}"
        assert told.after(killed, line) < TOLD_S
        after = running(state)
        assert after.ports == before.ports
        assert after.processes[0] != web and after.processes[1] == other
        assert until(lambda: answers(before.ports["web"]), BACK_S, 0.05, "the service")
        go_on(state)
        result = future.result(BACK_S)
        assert result.status == "success"
        assert line in result.notes
    assert processes.members(state.home) == []


def test_services_that_another_command_started_are_watched_too(state: Settings, two: Orchestrator) -> None:
    told = Told()
    with Lab(state) as first, Lab(state, told) as lab:
        first.start([two])
        with working(lab, two) as future:
            killed = kill(running(state).processes[1])
            told.wait("restarted other")
            assert told.after(killed, "fake: other ended; see") < TOLD_S
            go_on(state)
            assert future.result(BACK_S).status == "success"


def test_two_commands_that_see_one_death_restart_once(state: Settings, two: Orchestrator) -> None:
    one, another = Told(), Told()
    with Lab(state, one) as first, Lab(state, another) as second, working(first, two), working(second, two):
        kill(running(state).processes[0])
        one.wait("restarted web")
        another.wait("restarted web")
        assert len(processes.members(state.home / "fake" / "services")) == 2
        assert running(state).dead == []


def test_a_service_that_does_not_stay_alive_ends_the_backfill_with_one_line(
    state: Settings, two: Orchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PAUSES_S", (0.0, 0.0, 0.0))
    told = Told()
    with Lab(state, told) as lab, working(lab, two) as future:
        for count in range(1, 4):
            kill(running(state).processes[0])
            told.wait(f"restarted web ({count} of 3)")
        kill(running(state).processes[0])
        result = future.result(BACK_S)
    first, second = result.months
    assert (result.status, first.state, second.state) == ("failed", "success", "failed")
    assert first.attempts == second.attempts == 1
    assert result.seconds > 0
    assert second.error and "fake: web was killed by signal 9; see" in second.error
    assert second.error.endswith("given up after 3 restarts")


def test_up_restarts_what_is_dead_and_nothing_else(state: Settings, two: Orchestrator) -> None:
    told = Told()
    with Lab(state) as first, Lab(state, told) as up:
        before = first.start([two])["fake"]
        kill(before.processes[0])
        until(lambda: running(state).dead or None, BACK_S, 0.02, "the kill")
        assert "web ended: `triptych up fake` starts it again" in [each.state for each in survey(state)]
        after = up.start([two])["fake"]
        assert after.processes[1] == before.processes[1]
        assert (after.ports, after.dead, len(after.processes)) == (before.ports, [], 2)
        assert "fake: web ended; see" in told.wait("it is started again")


def test_a_dead_service_is_replaced_while_another_thread_looks_at_it(state: Settings, two: Orchestrator) -> None:
    with Lab(state) as lab:
        before = lab.start([two])["fake"]
        child = lab.stack(two)._steps.children[0]
        kill(child.identity)
        until(lambda: running(state).dead or None, BACK_S, 0.02, "the kill")
        # As long as another thread holds it, `poll` returns None for a child that has ended.
        looking = child._popen._waitpid_lock  # type: ignore[attr-defined]
        looking.acquire()
        release = Timer(0.5, looking.release)
        release.start()
        after = lab.start([two])["fake"]
        release.join()
        lab.check()
        assert after.processes[0] != before.processes[0] and after.dead == []


def test_when_all_services_died_they_come_back_on_their_ports(state: Settings, two: Orchestrator) -> None:
    """Another command's backfill may still be talking to them."""
    with Lab(state) as lab:
        before = lab.start([two])["fake"]
        for each in before.processes:
            kill(each)
        until(lambda: len(running(state).dead) == 2 or None, BACK_S, 0.02, "the kills")
        assert lab.start([two])["fake"].ports == before.ports


def test_what_down_ended_is_not_started_again(state: Settings, two: Orchestrator) -> None:
    told = Told()
    with Lab(state, told) as lab, working(lab, two) as future:
        end_all(state)
        result = future.result(BACK_S)
        assert [month.state for month in result.months] == ["success", "failed"]
        assert processes.members(state.home / "fake") == []
    assert [line for _, line in told.lines if "restarted" in line] == []


def test_what_a_dead_service_leaves_is_ended_before_its_restart(
    state: Settings, orchestrator: MakeOrchestrator
) -> None:
    """A worker that it forked would hold its port."""
    forks = (
        "import os, sys; from http.server import *; "
        "server = HTTPServer(('127.0.0.1', int(sys.argv[1])), SimpleHTTPRequestHandler); "
        "os.fork(); server.serve_forever()"
    )
    start = f'Step(start=[python, "-c", """{forks}""", str(ports["web"])], name="forking")'
    body = "from pathlib import Path\nhome = Path(request['endpoint']['home'])" + GO
    told = Told()
    with (
        Lab(state, told) as lab,
        working(lab, orchestrator(ports="['web']", steps=f"{start}, {WAIT}", body=body)) as future,
    ):
        kill(running(state).processes[0])
        told.wait("restarted forking (1 of 3)")
        assert running(state).dead == []
        go_on(state)
        assert future.result(BACK_S).status == "success"


def test_a_service_that_dies_before_it_is_ready_is_not_waited_for(
    state: Settings, orchestrator: MakeOrchestrator
) -> None:
    dies = """import pathlib, sys, time
while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)
sys.exit('no such broker')"""
    start = f"Step(start=[python, '-c', {dies!r}, str(home / 'asked')], name='broker')"
    ready = "from pathlib import Path; (Path(request['home']) / 'asked').touch(); signal.pause()"
    with Lab(state) as lab, pytest.raises(PermanentError, match=r"fake: broker ended with 1: no such broker; see"):
        lab.start([orchestrator(steps=start, ready=ready)])


def test_services_are_asked_once_whether_they_take_work(state: Settings, orchestrator: MakeOrchestrator) -> None:
    ready = "from pathlib import Path; (Path(request['home']) / 'asked').open('a').write('x')"
    fake, asked = orchestrator(ports="['web']", steps=f"{WEB}, {WAIT}", ready=ready), state.home / "fake/home/asked"
    with Lab(state) as lab:
        for _ in range(2):
            lab.start([fake])
        assert asked.read_text() == "x"
        kill(running(state).processes[0])
        until(lambda: running(state).dead or None, BACK_S, 0.02, "the kill")
        for _ in range(2):
            lab.start([fake])
        assert asked.read_text() == "xx", "once more after a restart"


def test_a_killed_postgresql_is_reported_and_restarted_on_its_port(state: Settings, two: Orchestrator) -> None:
    told, own = Told(), replace(state, dsn=None)
    try:
        with Lab(own, told) as lab, working(lab, two) as future:
            server = Postgres(own.home / "postgres").running()
            assert server
            killed = kill(Identity.of("server", server.process.pid))
            told.wait("postgres: restarted server (1 of 3)")
            assert told.after(killed, "postgres: the server was killed by signal 9; see") < TOLD_S
            with psycopg.connect(lab.dsn) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            go_on(own)
            assert future.result(BACK_S).status == "success"
    finally:
        Postgres(own.home / "postgres").wipe()


@pytest.mark.skipif(not Settings.read({}).dbt.exists(), reason="there is no dbt on this machine: `make setup`")
def test_a_killed_warm_dbt_server_is_reported_and_restarted(state: Settings, two: Orchestrator) -> None:
    told = Told()
    with Lab(replace(state, dbt=Settings.read({}).dbt), told) as lab, working(lab, two) as future:
        (server,) = processes.leaders(state.home / "dbt" / "warm")
        killed = kill(server)
        told.wait("dbt: restarted warm server")
        assert told.after(killed, "dbt: the warm server was killed by signal 9; see") < TOLD_S
        assert processes.leaders(state.home / "dbt" / "warm") not in ([], [server])
        go_on(state)
        assert future.result(BACK_S).status == "success"


class Mortal:
    """A unit of one process that cannot be started again."""

    name = "mortal"

    def __init__(self) -> None:
        self.identities = [replace(Identity.of("it", os.getpid()), started=-1.0)]
        self.revived = 0

    def death(self, identity: Identity) -> str:
        return f"mortal: {identity.name} ended"

    def revive(self) -> None:
        self.revived += 1
        raise PermanentError("no room")


@pytest.mark.parametrize("vital", [True, False])
def test_a_restart_that_fails_counts(monkeypatch: pytest.MonkeyPatch, vital: bool) -> None:
    monkeypatch.setattr(supervisor, "PAUSES_S", (0.0, 0.0, 0.0))
    told, unit = Told(), Mortal()
    with Supervisor(unit, told, vital=vital) as watching:
        told.wait("mortal: it ended; given up after 3 restarts")
        assert [line for _, line in told.lines].count("mortal: restart failed: no room") == unit.revived == 3
        until(lambda: bool(watching._failure) == vital or None, BACK_S, 0.02, "the end of its thread")
        if vital:
            with pytest.raises(PermanentError, match="given up"):
                watching.check()
        else:
            watching.check()


# --- what is reported when there is no result


def test_there_is_no_limit_on_the_whole_as_long_as_months_end(state: Settings, orchestrator: MakeOrchestrator) -> None:
    stall_s = 8
    body = f"""
for month in months:
    for state in ('running', 'success'):
        time.sleep({stall_s / 2})
        progress(month, state)
"""
    with Lab(replace(state, stall_s=stall_s)) as lab:
        result = lab.backfill(orchestrator(body=body), request())
    assert result.status == "success", result


ENDS = {
    "crash": "os.kill(os.getpid(), signal.SIGKILL)",
    "error": "raise TransientError('gone')",
    "stall": "signal.pause()",
}


@pytest.mark.parametrize("end", ENDS)
def test_what_had_ended_is_reported_as_it_ended(
    state: Settings, orchestrator: MakeOrchestrator, end: str, add_entry: Callable[..., Any]
) -> None:
    """With its record where the runner passed one on, else with the ledger's entry."""
    months = [str(month) for month in parse_months("2024-01..2024-06")]
    add_entry("2024-02", rows=2)
    add_entry("2024-04", rows=4)
    add_entry("2024-05", rows=5, loader="another")
    body = f"""
progress(months[0], "success", record=MonthRecord(months[0], "success", attempts=3, rows=1))
progress(months[1], "unchanged")
progress(months[2], "failed", "no such file")
progress(months[3], "running")
progress(months[4], "running")
{ENDS[end]}
"""
    with Lab(replace(state, stall_s=10)) as lab:
        result = lab.backfill(orchestrator(body=body), replace(request(), months=months, schema=add_entry.schema))  # type: ignore[attr-defined]
    assert [(month.state, month.attempts, month.rows) for month in result.months] == [
        ("success", 3, 1), ("unchanged", 1, 2), ("failed", 1, None), ("failed", 1, 4), ("failed", 1, None),
        ("failed", 0, None),
    ]  # fmt: skip
    assert result.months[1].digest == "digest"
    errors = [month.error or "" for month in result.months]
    assert errors[:3] == ["", "", "no such file"]
    cause = {"crash": "it was killed by signal 9", "error": "gone", "stall": "no progress for 10 s"}[end]
    assert errors[3].startswith("its rows are loaded, but its run did not end: ")
    assert all(cause in error for error in errors[3:])
    assert result.seconds > 0


@pytest.fixture
def add_entry(postgres: str) -> Iterator[Callable[..., None]]:
    """Write an entry into the ledger of a schema of our own, as if it had been loaded a minute from now."""
    schema = f"tally_{os.getpid()}"

    def add(month: str, rows: int, loader: str = "fake") -> None:
        first = dt.date.fromisoformat(f"{month}-01")
        entry = ledger.Entry("green", first, "f", "sha", 1, rows, "digest", "d", "swap", loader, "r", 1, 1)
        ledger.write(connection, schema, entry)
        name = sql.Identifier(schema, "load_ledger")
        connection.execute(sql.SQL("UPDATE {} SET loaded_at = now() + interval '1 minute'").format(name))

    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        ledger.create(connection, schema)
        add.schema = schema  # type: ignore[attr-defined]
        yield add
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def moved(made: Path, to: Path, month: Month) -> None:
    """Write the rows of `made` with all their times in `month`."""
    table, first = pq.read_table(made), dt.datetime.combine(month.first_day, dt.time())
    for name in ("lpep_pickup_datetime", "lpep_dropoff_datetime"):
        position = table.schema.get_field_index(name)
        times = [first + dt.timedelta(minutes=minute) for minute in range(table.num_rows)]
        table = table.set_column(position, table.schema.field(name), pa.array(times, table.schema.field(name).type))
    pq.write_table(table, to)


def test_148_months_in_one_command(state: Settings, tmp_path: Path) -> None:
    """From the publisher's first month on. The generator begins later: one of its months, moved, stands in for each."""
    months = parse_months("2013-08..2025-11")
    assert len(months) == 148
    folder, made = tmp_path / "published", tmp_path / "2024-01.parquet"
    folder.mkdir()
    sample.write_zones(folder / sample.ZONES)
    sample.write_month(made, Month(2024, 1), rows=sample.FEWEST_ROWS)
    for month in months:
        moved(made, folder / sample.file_name(month), month)
    own = replace(state, dbt=Settings.read({}).dbt)
    wanted = BackfillRequest([str(month) for month in months], str(folder), f"many_{os.getpid()}")
    with Lab(own) as lab:
        result = lab.backfill(orchestrators(own)[BASELINE], wanted)
        with lab.connect() as connection:
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(wanted.schema)))
    assert {month.state for month in result.months} == {"success"}, [month.error for month in result.months][:3]
    assert len(result.months) == 148
