"""Services and runners: used again, shared, ended completely, and clear about what went wrong."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from threading import Timer

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core import digest
from core.errors import PermanentError, TransientError, UsageError
from core.lab import driver, processes, services, session, steps
from core.lab.history import history
from core.lab.identity import Identity
from core.lab.protocol import BackfillRequest
from core.lab.registry import Orchestrator, select
from core.lab.runs import Runs
from core.lab.session import Lab
from core.lab.signals import Interrupted
from core.lab.state import end_all, survey
from core.settings import Settings, private
from core.waiting import until
from tests.integration.fake_orchestrators import PAGE, WAIT, WEB, MakeOrchestrator, make_orchestrator

pytestmark = pytest.mark.slow


def request(*months: str) -> BackfillRequest:
    return BackfillRequest(list(months) or ["2024-01"], "nowhere", "fake")


def pids(lab: Lab, orchestrator: Orchestrator) -> list[int]:
    return [each.pid for each in lab.start([orchestrator])[orchestrator.name].processes]


def web(**more: str) -> dict[str, str]:
    """Return how to make an orchestrator with one service."""
    return {"ports": "['web']", "steps": f"{WEB}, {WAIT}", **more}


def test_services_are_used_again_and_their_last_user_ends_them(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator(**web())
    with Lab(state) as first:
        found = pids(first, fake)
        with Lab(state) as second:
            assert pids(second, fake) == found
        assert pids(first, fake) == found, "the first still uses them"
    assert not any(psutil.pid_exists(pid) for pid in found)


def test_kept_services_stay_until_they_are_ended(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator(**web())
    with Lab(state) as lab:
        found = pids(lab, fake)
        lab.keep()
    with Lab(state) as lab:
        assert pids(lab, fake) == found
    assert ("fake", "running") in [(service.name, service.state) for service in survey(state)]
    assert end_all(state) == ["fake: 1 process ended"]
    assert [service.state for service in survey(state) if service.name == "fake"] == ["not running"]


def test_services_that_died_are_started_again(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator(**web())
    with Lab(state) as lab:
        (killed,) = pids(lab, fake)
        os.kill(killed, signal.SIGKILL)
        until(lambda: psutil.Process(killed).status() == psutil.STATUS_ZOMBIE or None, 10, 0.01, "kill")
        (other,) = pids(lab, fake)
        assert other != killed


def test_there_are_as_many_processes_as_whoever_started_them_asked_for(
    state: Settings, orchestrator: MakeOrchestrator
) -> None:
    worker = 'Step(start=[python, "-c", "import time; time.sleep(600)"], name="worker")'
    steps = f'{WEB}, *several({worker}, request["scale"].get("worker", 1)), {WAIT}'
    fake = orchestrator(ports="['web']", steps=steps, scalable="{'worker': []}")

    def names(lab: Lab) -> list[str]:
        return [each.name for each in lab.start([fake])["fake"].processes]

    def asked(count: int) -> Settings:
        return replace(state, scale={"fake": {"worker": count}})

    with Lab(asked(2)) as lab, Lab(state) as other, Lab(asked(3)) as third:
        assert names(lab) == names(other) == ["web", "worker-1", "worker-2"]
        killed = pids(other, fake)[1]
        os.kill(killed, signal.SIGKILL)
        until(lambda: psutil.Process(killed).status() == psutil.STATUS_ZOMBIE or None, 10, 0.01, "kill")
        assert names(other) == names(lab) == ["web", "worker-1", "worker-2"]
        assert killed not in pids(other, fake)
        with pytest.raises(UsageError, match=r"fake: its services run with another number of processes"):
            names(third)
    with Lab(state) as lab:
        assert names(lab) == ["web", "worker"]
    with Lab(replace(state, scale={"fake": {"web": 2}})) as lab, pytest.raises(UsageError, match="processes of 'web'"):
        names(lab)


def test_a_service_that_is_left_alone_is_not_started_again(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator(**web())
    with Lab(state) as lab:
        (killed,) = pids(lab, fake)
        stack = lab.stack(fake)
        stack.restarts = False
        os.kill(killed, signal.SIGKILL)
        until(lambda: psutil.Process(killed).status() == psutil.STATUS_ZOMBIE or None, 10, 0.01, "kill")
        stack.revive()
        assert stack.identities == []
        stack.restarts = True
        stack.revive()
        assert [each.pid for each in stack.identities] != [killed]


@pytest.mark.parametrize(
    "told", [{"TRIPTYCH_TLC_URL": "http://elsewhere"}, {"AWS_SECRET_ACCESS_KEY": "s3cret"}], ids=["address", "key"]
)
def test_services_of_other_settings_are_not_used(
    state: Settings, orchestrator: MakeOrchestrator, told: dict[str, str]
) -> None:
    fake = orchestrator(**web())
    with Lab(state) as lab, Lab(replace(state, passed_on=told)) as other:
        lab.start([fake])
        with pytest.raises(UsageError, match=r"fake: its services run with other settings .*triptych down"):
            other.start([fake])
        written = [path for path in state.home.rglob("*") if path.is_file() and b"s3cret" in path.read_bytes()]
        assert written == []


def test_an_orchestrator_without_services_has_none_that_know_other_settings(
    state: Settings, orchestrator: MakeOrchestrator
) -> None:
    fake = orchestrator()
    with Lab(state) as lab, Lab(replace(state, passed_on={"AWS_REGION": "elsewhere"})) as other:
        for each in (lab, other, lab):
            assert each.start([fake])["fake"].processes == []


@pytest.mark.parametrize("text", ["", "{}", "null", "[1]"])
@pytest.mark.parametrize("pattern", ["services.json", "once.json", f"*{processes.LEADER}"])
def test_a_torn_record_counts_as_none(state: Settings, orchestrator: MakeOrchestrator, pattern: str, text: str) -> None:
    once = 'Step(run=[python, "-c", ""], once=True)'
    fake = orchestrator(ports="['web']", steps=f"{once}, {WEB}, {WAIT}")
    with Lab(state) as lab:
        found = pids(lab, fake)
        for path in state.home.rglob(pattern):
            path.write_text(text)
        assert [service.state for service in survey(state) if service.name == "fake"]
        with Lab(state) as other:
            assert pids(other, fake)
    assert not any(psutil.pid_exists(pid) and is_alive(pid) for pid in found)


def is_alive(pid: int) -> bool:
    return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_service_that_dies_says_why_and_ends_the_others(state: Settings, orchestrator: MakeOrchestrator) -> None:
    code = "import time; time.sleep(0.2); raise SystemExit('no such broker')"
    dies = f'Step(start=[python, "-c", "{code}"], name="broker")'
    fake = orchestrator(**web(steps=f"{WEB}, {dies}, Step(wait='http://127.0.0.1:1/')"))
    with Lab(state) as lab:
        with pytest.raises(PermanentError, match=r"fake: broker ended with 1: no such broker; see .*/logs/broker\.log"):
            lab.start([fake])
        assert processes.members(state.home) == []


def test_a_step_that_fails_says_why(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator(steps='Step(run=[python, "-c", "raise SystemExit(\'no tables\')"], name="migrate")')
    with Lab(state) as lab, pytest.raises(PermanentError, match=r"ended with 1: no tables; see .*/logs/migrate\.log"):
        lab.start([fake])


def test_ports_stay_the_same_until_another_program_takes_one(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake, told = orchestrator(**web()), list[str]()

    def port() -> int:
        with Lab(state, told.append) as lab:
            return lab.start([fake])["fake"].ports["web"]

    first = port()
    assert (port(), told) == (first, [])
    with socket.socket() as taken:
        # What was closed a moment ago does not count.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", first))
        taken.listen()
        other = port()
    assert told == [f"fake: port {first} (web) is in use by another program: now {other}"]
    assert port() == other != first


def test_services_of_another_checkout_are_not_used(
    state: Settings, orchestrator: MakeOrchestrator, tmp_path: Path
) -> None:
    elsewhere = make_orchestrator(tmp_path / "elsewhere", "fake", **web())
    with Lab(state) as lab, Lab(state) as other:
        lab.start([orchestrator(**web())])
        with pytest.raises(UsageError, match=rf"run the code of another checkout, {tmp_path}: end .* `triptych down`"):
            other.start([elsewhere])


def test_a_port_that_was_taken_in_the_meantime_costs_one_more_try(
    state: Settings, orchestrator: MakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = orchestrator(**web())
    choose = services.free_ports
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        choices = iter([{"web": taken.getsockname()[1]}])
        monkeypatch.setattr(services, "free_ports", lambda names, kept: next(choices, None) or choose(names, kept))
        with Lab(state) as lab:
            assert lab.start([fake])["fake"].ports["web"] != taken.getsockname()[1]


def test_a_port_that_is_taken_again_is_a_clear_line(
    state: Settings, orchestrator: MakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = orchestrator(**web(steps=WEB + ", Step(wait='http://127.0.0.1:1/')"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(services, "free_ports", lambda *_: {"web": taken.getsockname()[1]})
        with (
            Lab(state) as lab,
            pytest.raises(PermanentError, match=r"fake: web ended with 1: .*Address already in use"),
        ):
            lab.start([fake])


def test_a_new_port_is_none_of_those_that_are_kept(
    state: Settings, orchestrator: MakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = orchestrator(ports="['web', 'api']")
    folder = private(state.home / "fake")
    stack = services.Stack(fake, folder, driver.environment(state, fake, folder / "home", dsn=None), lambda: ("", True))
    web = stack._choose_ports({})["web"]
    # The kept port is the one that would be chosen for the other name.
    monkeypatch.setattr(services, "is_free", lambda port: True)
    monkeypatch.setattr(services, "PORTS", range(web, web + 3))
    monkeypatch.setattr(random, "sample", lambda ports, count: [web + 1, web, web + 2][:count])
    assert stack._choose_ports({"web": web}) == {"web": web, "api": web + 2}


def test_a_verb_that_the_runner_lacks_starts_nothing(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator(**web())
    with Lab(state) as lab:
        with pytest.raises(UsageError, match="fake can't `processes` yet"):
            Runs(lab, fake).processes()
        assert not (state.home / "fake" / "services.json").exists()


def test_a_history_that_is_malformed_hides_no_other(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator()
    runner = fake.cwd / "fake_impl" / "lab" / "runner.py"
    runner.write_text(
        runner.read_text().replace("backfill=backfill)", "backfill=backfill, runs=lambda *_: {'runs': [{'x': 1}]})")
    )
    private(state.home / "fake")
    found = history(state, [fake, *select("plain", state)], None, 5)
    assert found.runs == []
    assert [line.partition(":")[0] for line in found.failed] == ["fake"]


def test_orchestrators_start_side_by_side(state: Settings, orchestrator: MakeOrchestrator, tmp_path: Path) -> None:
    meet = (
        "Step(run=[python, '-c', 'import sys, time; from pathlib import Path\\n"
        "mine, other = map(Path, sys.argv[1:]); mine.touch()\\n"
        "while not other.exists(): time.sleep(0.01)', {mine!r}, {other!r}], name='meet')"
    )
    here, there = str(tmp_path / "here"), str(tmp_path / "there")
    both = [
        orchestrator("one", steps=meet.format(mine=here, other=there)),
        orchestrator("two", steps=meet.format(mine=there, other=here)),
    ]
    with Lab(state) as lab:
        assert set(lab.start(both)) == {"one", "two"}


def test_a_once_step_is_not_repeated(state: Settings, orchestrator: MakeOrchestrator, tmp_path: Path) -> None:
    count = "import sys; open(sys.argv[1], 'a').write('x')"
    steps = ", ".join(
        f'Step(run=[python, "-c", "{count}", "{tmp_path / name}"], once={once})'
        for name, once in (("a", True), ("b", False))
    )
    fake = orchestrator(**web(steps=f"{steps}, {WEB}, {WAIT}"))
    for _ in range(2):
        with Lab(state) as lab:
            lab.start([fake])
    assert [(tmp_path / name).read_text() for name in "ab"] == ["x", "xx"]


def test_metadata_is_a_database_beside_the_warehouse(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator(env="{'META': '${METADATA}'}", steps=f'Step(run=[python, "-c", """{SHOW}"""], name="look")')
    with Lab(state) as lab:
        lab.start([fake])
        name = (state.home / "fake" / "logs" / "look.log").read_text().strip()
        assert name.startswith("triptych_fake_")
        assert name != conninfo_to_dict(lab.dsn)["dbname"]


def test_wiping_drops_the_orchestrators_databases_on_the_users_server(
    state: Settings, orchestrator: MakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = orchestrator(env="{'META': '${METADATA}'}", steps='Step(run=[python, "-c", ""], name="look")')
    with Lab(state) as lab:
        lab.start([fake])
        warehouse = conninfo_to_dict(lab.dsn)["dbname"]
    databases = "SELECT count(*) FROM pg_database WHERE datname LIKE 'triptych\\_fake\\_%'"
    with psycopg.connect(lab.dsn, autocommit=True) as connection:
        assert connection.execute(databases).fetchone() == (1,)
        *_, dropped, deleted = end_all(state, wipe=True)
        assert connection.execute(databases).fetchone() == (0,)
        assert connection.execute("SELECT current_database()").fetchone() == (warehouse,)
    assert deleted == f"{state.home}: deleted"
    assert re.fullmatch(r"database triptych_fake_\w{8}: dropped", dropped)


def test_the_certificate_settings_of_the_dsn_reach_the_orchestrators() -> None:
    dsn = "postgresql://u:p@host/d?sslmode=verify-full&sslrootcert=/ca.pem&application_name=x"
    assert session._tls(dsn) == {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/ca.pem"}


def test_a_user_who_may_not_create_databases_is_told(
    state: Settings, orchestrator: MakeOrchestrator, postgres: str
) -> None:
    fake = orchestrator(env="{'META': '${METADATA}'}", steps='Step(run=[python, "-c", ""], name="look")')
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE ROLE limited LOGIN PASSWORD 'limited'")
        try:
            own = replace(state, dsn=make_conninfo(postgres, user="limited", password="limited"))
            with (
                Lab(own) as lab,
                pytest.raises(UsageError, match="limited may not create one: ALTER ROLE limited CREATEDB"),
            ):
                lab.start([fake])
        finally:
            connection.execute("DROP ROLE limited")


def test_a_runner_sees_a_scrubbed_environment(
    state: Settings, orchestrator: MakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "1")
    fake = orchestrator(body="notes += [f'{key}={value}' for key, value in os.environ.items()] + [os.getcwd()]")
    with Lab(state) as lab:
        result = lab.backfill(fake, request())
        seen = dict(note.partition("=")[::2] for note in result.notes)
        assert seen.keys() - {"LC_CTYPE"} == {
            "HOME", "HTTP_PROXY", "LANG", "NO_PROXY", "PATH", "TRIPTYCH_DBT", "TRIPTYCH_DSN", "TRIPTYCH_HOME",
            "TRIPTYCH_OWNER", str(fake.cwd),
        }  # fmt: skip
        assert seen["HOME"] == str(state.home / "fake" / "home")
        assert "127.0.0.1" in seen["NO_PROXY"]
        assert seen["PATH"].startswith(str(fake.python.parent))


def test_progress_is_passed_on_as_it_comes(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator(
        body="for month in months:\n"
        "    progress(month, 'running', under_way={'ingest_zones': 1, 'ingest_month': 2})\n"
        "    progress(month, 'success', 'done')"
    )
    seen: list[tuple[object, ...]] = []

    def show(*fact: str, task: str, attempt: int, version: str) -> None:
        seen.append((*fact, task, attempt, version))

    with Lab(state) as lab:
        lab.backfill(fake, request("2024-01", "2024-02"), show)
    assert seen == [
        (month, *fact, "1.0")
        for month in ("2024-01", "2024-02")
        for fact in (("running", "", "ingest_month", 2), ("success", "done", "", 0))
    ]


def test_months_whose_end_the_runner_did_not_report_are_shown_as_they_ended(
    state: Settings, orchestrator: MakeOrchestrator
) -> None:
    fake = orchestrator(
        body="progress(months[0], 'success'); progress(months[1], 'running'); raise ValueError('a bug')"
    )
    seen: list[tuple[str, ...]] = []
    with Lab(state) as lab:
        lab.backfill(fake, request("2024-01", "2024-02", "2024-03"), lambda *fact, **_: seen.append(fact))
    assert [fact[:2] for fact in seen] == [
        ("2024-01", "success"), ("2024-02", "running"), ("2024-02", "failed"), ("2024-03", "failed"),
    ]  # fmt: skip
    assert all("a bug" in fact[2] for fact in seen[2:])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            "raise ValueError('a bug')",
            r"fake backfill ended without a result \(it ended with 1\): ValueError: a bug; see .*log",
        ),
        ("os.kill(os.getpid(), signal.SIGKILL)", r"ended without a result \(it was killed by signal 9\)"),
        ("raise PermanentError('no such pool')", "no such pool"),
        ("raise TransientError('busy')", "busy"),
    ],
)
def test_a_runner_that_fails_has_failed_all_months(
    state: Settings, orchestrator: MakeOrchestrator, body: str, error: str
) -> None:
    with Lab(state) as lab:
        result = lab.backfill(orchestrator(body=body), request("2024-01", "2024-02"))
    assert (result.status, [month.state for month in result.months]) == ("failed", ["failed", "failed"])
    for month in result.months:
        assert month.error is not None
        assert re.search(error, month.error)
        assert "\n" not in month.error


def test_a_wrong_call_is_not_a_failed_backfill(state: Settings, orchestrator: MakeOrchestrator) -> None:
    with Lab(state) as lab, pytest.raises(UsageError, match="no such flag"):
        lab.backfill(orchestrator(body="raise UsageError('no such flag')"), request())


def test_a_runner_that_stalls_is_ended_with_all_it_started(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator(body="subprocess.Popen(['sleep', '300'], start_new_session=True); signal.pause()")
    with Lab(replace(state, stall_s=2)) as lab:
        result = lab.backfill(fake, request())
        assert "was ended: no progress for 2 s" in str(result.months[0].error)
        assert processes.members(state.home) == []


def test_an_orchestrator_that_does_not_come_up_does_not_hold_back_the_others(
    state: Settings, orchestrator: MakeOrchestrator
) -> None:
    broken = orchestrator("broken", steps='Step(run=[python, "-c", "raise SystemExit(3)"])')
    with Lab(state) as lab:
        results = lab.backfills({broken: request(), orchestrator("fine"): request()})
    assert {name: result.status for name, result in results.items()} == {"broken": "failed", "fine": "success"}


def test_no_password_is_written_down(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator(**web(env="{'META': '${METADATA}'}", body="print(sorted(request))"))
    password = str(conninfo_to_dict(str(state.dsn))["password"])
    with Lab(state) as lab:
        lab.backfill(fake, request())
        lines = [" ".join(process.cmdline()) for process in processes.members(state.home)]
        assert lines
        assert not any(password in line for line in lines)
    texts = [path.read_text() for path in state.home.rglob("*") if path.is_file()]
    assert texts
    assert not any(password in text for text in texts)


SHOW = "import os, psycopg; print(psycopg.connect('postgresql://' + os.environ['META']).info.dbname)"
LOOK = "import psycopg; notes.append(str(psycopg.connect(os.environ['TRIPTYCH_DSN']).info.dsn))"


@pytest.mark.parametrize("by", ["password file", "service file"])
def test_what_libpq_reads_besides_the_dsn_reaches_the_orchestrators(
    state: Settings, orchestrator: MakeOrchestrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """They have another HOME and none of our PG* variables: the lab reads what these say, and passes it on."""
    parts = conninfo_to_dict(str(state.dsn))
    password = parts.pop("password")
    secret = tmp_path / "secret"
    secret.touch(0o600)
    if by == "password file":
        secret.write_text(f"{parts['host']}:{parts['port']}:*:{parts['user']}:{password}\n")
        monkeypatch.setenv("PGPASSFILE", str(secret))
        dsn = make_conninfo("", **parts)
    else:
        lines = [f"{key}={value}" for key, value in {**parts, "password": password}.items()]
        secret.write_text("\n".join(["[mine]", *lines, ""]))
        monkeypatch.setenv("PGSERVICEFILE", str(secret))
        dsn = "service=mine"
    fake = orchestrator(
        env="{'META': '${METADATA}'}", steps=f'Step(run=[python, "-c", """{SHOW}"""], name="look")', body=LOOK
    )
    with Lab(replace(state, dsn=dsn)) as lab:
        result = lab.backfill(fake, request())
    assert (result.status, result.months[0].error) == ("success", None)
    assert f"port={parts['port']}" in result.notes[0]
    assert (state.home / "fake" / "logs" / "look.log").read_text().startswith("triptych_fake_")


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_no_other_user_can_read_what_a_session_leaves(
    state: Settings, orchestrator: MakeOrchestrator, umask: int
) -> None:
    fake = orchestrator(**web(steps=f"{WEB}, {WAIT}", body="(Path(request['endpoint']['home']) / 'made').mkdir()"))
    before = os.umask(umask)
    try:
        with Lab(state) as lab:
            lab.backfill(fake, request())
    finally:
        os.umask(before)
    folders = [state.home, *state.home.iterdir(), state.home / "fake" / "home" / "made"]
    logs = [*state.home.rglob("*log")]
    assert logs
    assert [path for path in [*folders, *logs] if path.stat().st_mode & 0o077] == []


def test_a_function_of_somebody_else_does_not_change_a_digest(state: Settings) -> None:
    """In `public` it would match the call better than the server's own, which takes a bigint."""
    with psycopg.connect(str(state.dsn), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA mine; CREATE TABLE mine.t AS SELECT 1 AS x")
        connection.execute("CREATE FUNCTION public.hashbyteaextended(bytea, int) RETURNS bigint LANGUAGE sql RETURN 7")
        try:
            assert connection.execute("SELECT hashbyteaextended('x', 0)").fetchone() == (7,)
            with Lab(state) as lab, lab.connect() as ours:
                assert digest.table(ours, "mine", "t").sums != (7, 7)
        finally:
            connection.execute("DROP FUNCTION public.hashbyteaextended(bytea, int); DROP SCHEMA mine CASCADE")


def test_a_fourth_orchestrator_is_a_folder_and_nothing_else(state: Settings) -> None:
    (toy,) = select("toy", state)
    with Lab(state) as lab:
        running = lab.start([toy])["toy"]
        assert running.web
        assert [service.web for service in survey(state) if service.name == "toy"] == [running.web]


def test_a_group_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
    )
    child = processes.Child(
        ["python3", "-c", stubborn],
        name="deaf",
        env=dict(os.environ),
        cwd=tmp_path,
        log=tmp_path / "log",
        owner=tmp_path / "owner",
    )
    until(lambda: "deaf" in (tmp_path / "log").read_text() or None, 30, 0.02, "the process")
    assert processes.end(tmp_path / "owner", grace_s=0.2) == 1
    assert child.wait(5) == -signal.SIGKILL


def test_the_end_of_one_owner_is_not_the_end_of_another(tmp_path: Path) -> None:
    def sleeper(owner: str) -> processes.Child:
        log = tmp_path / f"{owner}.log"
        return processes.Child(
            ["sleep", "300"], name=owner, env=dict(os.environ), cwd=tmp_path, log=log, owner=tmp_path / owner
        )

    one, other = sleeper("a"), sleeper("ab")
    assert processes.end(tmp_path / "a") == 1
    assert (one.wait(5), other.returncode()) == (-signal.SIGTERM, None)
    assert processes.end(tmp_path) == 1
    other.wait(5)


HIDDEN = """
import os, subprocess, sys, time
for own_session in (False, True):
    print(subprocess.Popen(["sleep", "300"], env={}, start_new_session=own_session).pid, flush=True)
time.sleep(300)
"""


def test_how_a_process_ended_is_known_while_another_thread_looks(tmp_path: Path) -> None:
    child = processes.Child(
        ["sleep", "60"],
        name="sleeper",
        env=dict(os.environ),
        cwd=tmp_path,
        log=tmp_path / "log",
        owner=tmp_path / "owner",
    )
    os.kill(child.identity.pid, signal.SIGKILL)
    # subprocess answers None to a second thread that asks while the first one is in waitpid().
    looking = child._popen._waitpid_lock  # type: ignore[attr-defined]
    looking.acquire()
    Timer(0.2, looking.release).start()
    assert child.ending() == "was killed by signal 9"


def test_a_process_that_hides_its_mark_is_found(tmp_path: Path) -> None:
    """Airflow's processes write their title over their environment."""
    log, owner = tmp_path / "log", tmp_path / "owner"
    child = processes.Child([sys.executable, "-c", HIDDEN], name="hidden", env={}, cwd=tmp_path, log=log, owner=owner)
    until(lambda: log.read_text().count("\n") == 2 or None, 30, 0.02, "both")
    assert processes.end(owner) == 3
    assert child.wait(5) == -signal.SIGTERM
    assert processes.members(owner) == []
    for pid in log.read_text().split():
        until(lambda pid=int(pid): not psutil.pid_exists(pid) or None, 10, 0.02, "init to reap it")  # type: ignore[misc]


def test_workers_of_a_killed_leader_are_found(tmp_path: Path) -> None:
    log, owner = tmp_path / "log", tmp_path / "owner"
    child = processes.Child([sys.executable, "-c", HIDDEN], name="hidden", env={}, cwd=tmp_path, log=log, owner=owner)
    until(lambda: log.read_text().count("\n") == 2 or None, 30, 0.02, "both")
    same_session, own_session = (int(pid) for pid in log.read_text().split())
    os.kill(child.identity.pid, signal.SIGKILL)
    child.wait(5)
    assert [process.pid for process in processes.members(owner)] == [same_session]
    assert processes.end(owner) == 1
    # Without mark, session and parent, it can't be recognized.
    os.kill(own_session, signal.SIGKILL)


def test_a_recycled_pid_is_not_taken_for_the_process(tmp_path: Path) -> None:
    mine = Identity.of("me", os.getpid())
    assert mine.process() is not None
    assert replace(mine, started=mine.started - 60).process() is None
    assert replace(mine, boot="another start of the machine").process() is None


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere the start of a process does not follow the clock")
def test_setting_the_clock_hides_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel states its boot time in whole seconds of the current clock: some hundredths may move it by one."""
    log, owner = tmp_path / "log", tmp_path / "owner"
    child = processes.Child([sys.executable, "-c", HIDDEN], name="hidden", env={}, cwd=tmp_path, log=log, owner=owner)
    until(lambda: log.read_text().count("\n") == 2 or None, 30, 0.02, "both")
    moved = psutil.boot_time() + 1
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: moved)
    # As with Airflow and PostgreSQL, which write over it.
    monkeypatch.setattr(processes, "MARK", "NOT_SEEN")
    assert child.identity.process() is not None
    assert len(processes.members(owner)) == 3
    assert processes.end(owner) == 3
    assert child.wait(5) == -signal.SIGTERM


def test_an_interrupted_session_leaves_nothing(state: Settings, orchestrator: MakeOrchestrator) -> None:
    fake = orchestrator(body="progress(months[0], 'running'); signal.pause()")

    def interrupt(*_: str, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM"), Lab(state) as lab:
        lab.backfills({fake: request()}, interrupt)
    assert processes.members(state.home) == []


def test_status_says_who_works_with_an_orchestrator_without_services(
    state: Settings, orchestrator: MakeOrchestrator
) -> None:
    fake = orchestrator(body="progress(months[0], 'running'); signal.pause()")
    seen: list[str] = []

    def look(*_: str, **__: str) -> None:
        seen.extend(service.state for service in survey(state) if service.name == "fake")
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted), Lab(state) as lab:
        lab.backfills({fake: request()}, look)
    assert seen == [f"running, only for pid {os.getpid()}"]


def test_unreadable_progress_is_not_lost(tmp_path: Path) -> None:
    from core.lab.driver import _lines

    path = tmp_path / "progress"
    news = _lines(path)
    assert next(news) is None
    path.write_text('{"month": "20')
    assert next(news) is None
    with path.open("a") as out:
        out.write('24-01"}\n{}\n')
    assert [next(news), next(news), next(news)] == ['{"month": "2024-01"}', "{}", None]


def test_a_bad_step_is_a_transient_error_after_its_deadline(
    state: Settings, orchestrator: MakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "STEP_S", 0.3)
    with Lab(state) as lab, pytest.raises(TransientError, match=r"fake: http://127.0.0.1:1/: not done after 0.3 s"):
        lab.start([orchestrator(steps="Step(wait='http://127.0.0.1:1/')")])


def test_services_that_were_not_started_here_are_used_and_left_alone(
    state: Settings, orchestrator: MakeOrchestrator, tmp_path: Path
) -> None:
    fake = orchestrator(**web(page=PAGE, body="notes.append(request['endpoint']['url'])"))
    with Lab(state) as lab:
        (running,) = lab.start([fake]).values()
        elsewhere = replace(
            state, home=tmp_path / "elsewhere", dsn=lab.dsn, endpoints={"fake": str(running.web)},
            impls=(fake.cwd / "fake_impl",),
        )  # fmt: skip
        with Lab(elsewhere) as other:
            assert other.backfill(fake, request()).notes == [running.web]
            assert processes.members(elsewhere.home) == []
        found = [(each.name, each.state, each.web) for each in survey(elsewhere) if each.name == "fake"]
        assert found == [("fake", "TRIPTYCH_ENDPOINTS", running.web)]
        assert end_all(elsewhere) == [f"fake: {running.web} was not started here, and goes on"]
        assert not running.dead


def test_services_elsewhere_that_do_not_answer_fail_in_one_line(
    state: Settings, orchestrator: MakeOrchestrator
) -> None:
    fake = orchestrator(**web())
    with Lab(replace(state, endpoints={"fake": "http://127.0.0.1:1"})) as lab:
        line = r"fake: http://127.0.0.1:1 \(TRIPTYCH_ENDPOINTS\) does not answer: Connection refused"
        with pytest.raises(TransientError, match=line):
            lab.start([fake])
