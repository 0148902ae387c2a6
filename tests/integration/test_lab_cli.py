"""The command line as a process: how it ends, what it leaves, and what it prints."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from core.lab import processes
from core.lab.postgres import Postgres
from core.lab.signals import ENDING
from tests.integration.fake_orchestrators import PAGE, WAIT, WEB, make_orchestrator

pytestmark = pytest.mark.slow

TRIPTYCH = [sys.executable, "-m", "core.lab.cli"]

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def start(tmp_path: Path, home: Path, postgres: str) -> Iterator[Run]:
    """Start a command in its own state folder, with orchestrators of a few lines: `quick`, `endless`, `half`, `slow`.

    `half` ends one month, and `slow` never comes up.
    The session's PostgreSQL is the warehouse, except with `embedded`: then it has one of its own, which takes seconds.
    No build runs, so dbt is warmed up only `with_dbt`: 3 CPU s a command.
    """
    web = {"ports": "['web']", "steps": f"{WEB}, {WAIT}", "page": PAGE}
    make_orchestrator(tmp_path, "quick", body="progress(months[0], 'success')", **web)
    make_orchestrator(
        tmp_path, "endless", **web,
        body="subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "progress(months[0], 'running'); signal.pause()",
    )  # fmt: skip
    half = "progress(months[0], 'success'); progress(months[1], 'running'); signal.pause()"
    make_orchestrator(tmp_path, "half", body=half, **web)
    make_orchestrator(tmp_path, "slow", steps='Step(run=["sleep", "300"], name="never")')
    impls = os.pathsep.join(str(tmp_path / f"{name}_impl") for name in ("quick", "endless", "half", "slow"))
    env = {**os.environ, "TRIPTYCH_HOME": str(home), "TRIPTYCH_IMPLS": impls}
    started: list[subprocess.Popen[str]] = []

    def run(
        *words: str, before: Sequence[str] = (), embedded: bool = False, with_dbt: bool = False
    ) -> subprocess.Popen[str]:
        told = {"TRIPTYCH_DSN": "" if embedded else postgres}
        if not with_dbt:
            told["TRIPTYCH_DBT"] = str(home / "none")
        process = subprocess.Popen(
            [*before, *TRIPTYCH, *words], env={**env, **told}, cwd=tmp_path,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
    done = run("down", "--wipe")
    assert done.communicate(timeout=120)[1] == ""
    assert not home.exists()


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "source").mkdir()
    return str(tmp_path / "source")


def working(start: Run, source: str, **how: object) -> subprocess.Popen[str]:
    """A backfill on `endless` that has reported its month as running."""
    command = start("backfill", "2024-01", "--on", "endless", "--source", source, **how)
    assert command.stderr is not None
    assert any("2024-01  running" in line for line in command.stderr)
    return command


def nothing_runs(home: Path) -> bool:
    return not processes.members(home) and Postgres(home / "postgres").running() is None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_all_that_was_started(
    start: Run, home: Path, source: str, number: signal.Signals, code: int
) -> None:
    command = working(start, source, embedded=number == signal.SIGTERM, with_dbt=number == signal.SIGTERM)
    assert len(processes.members(home)) >= 3, "a service, a runner, and what the runner started"
    # As a terminal does: to the whole foreground group; and a second time, as an impatient user does.
    os.killpg(command.pid, number)
    os.killpg(command.pid, number)
    _, said = command.communicate(timeout=60)
    assert (command.returncode, said.splitlines()) == (
        code,
        [
            "what is loaded stays: the same command goes on with the rest",
            "triptych: interrupted: everything that it started has been ended",
        ],
    )
    assert nothing_runs(home)


def test_an_interrupted_backfill_reports_what_had_ended(start: Run, source: str, tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    command = start("backfill", "2024-01..2024-03", "--on", "half", "--source", source, "--json", str(facts))
    assert command.stderr is not None
    assert any("2024-02  running" in line for line in command.stderr)
    command.send_signal(signal.SIGINT)
    out, _ = command.communicate(timeout=60)
    assert command.returncode == 130
    assert (
        "half: 1 success, 2 failed in " in out and "half 2024-02..2024-03 failed: half backfill was interrupted" in out
    )
    months = json.loads(facts.read_text())["orchestrators"]["half"]["months"]
    assert [(month["state"], month["attempts"]) for month in months] == [("success", 1), ("failed", 1), ("failed", 0)]


def test_an_interrupted_migration_leaves_nothing_and_says_what_ended(
    start: Run, home: Path, source: str, tmp_path: Path
) -> None:
    words = ["migrate", "2024-01..2024-02", "--from", "endless", "--to", "quick", "--at", "2024-02"]
    command = start(*words, "--source", source, "--json", str(tmp_path / "facts.json"))
    assert command.stderr is not None
    assert any("2024-01  running" in line for line in command.stderr)
    os.killpg(command.pid, signal.SIGINT)
    out, said = command.communicate(timeout=60)
    assert (command.returncode, out, said.splitlines()) == (
        130,
        "",
        [
            "what is loaded stays in migrated: the same command goes on with the rest",
            "triptych: interrupted: everything that it started has been ended",
        ],
    )
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert (facts["complete"], facts["steps"], facts["from"], facts["to"]) == (False, [], "endless", "quick")
    assert nothing_runs(home)


def test_a_service_that_dies_is_reported_on_the_screen(start: Run, home: Path, source: str) -> None:
    command = working(start, source)
    assert command.stderr is not None
    (service,) = json.loads((home / "endless" / "services.json").read_text())["processes"]
    os.kill(service["pid"], signal.SIGKILL)
    told = [next(command.stderr).rstrip(), next(command.stderr).rstrip()]
    log = home / "endless" / "logs" / "web.log"
    assert told == [f"endless: web was killed by signal 9; see {log}", "endless: restarted web (1 of 3)"]


def test_down_ends_what_a_killed_command_left(start: Run, home: Path, source: str) -> None:
    command = working(start, source, embedded=True, with_dbt=True)
    command.kill()
    command.wait()
    assert len(processes.members(home)) >= 3
    down = start("down")
    out, _ = down.communicate(timeout=60)
    assert down.returncode == 0
    assert out.splitlines() == ["endless: 3 processes ended", "dbt: ended", "postgres: ended"]
    assert nothing_runs(home)


def test_the_next_command_uses_what_a_killed_one_left_and_ends_it(start: Run, home: Path, source: str) -> None:
    command = working(start, source)
    command.kill()
    command.wait()
    (service,) = json.loads((home / "endless" / "services.json").read_text())["processes"]
    other = start("backfill", "2024-01", "--on", "endless", "--source", source)
    assert other.stderr is not None
    assert any("2024-01  running" in line for line in other.stderr)
    assert [each["pid"] for each in json.loads((home / "endless" / "services.json").read_text())["processes"]] == [
        service["pid"]
    ]
    other.send_signal(signal.SIGTERM)
    other.communicate(timeout=60)
    assert service["pid"] not in {process.pid for process in processes.members(home)}


def test_services_of_another_version_are_ended_and_started_again(start: Run, home: Path, source: str) -> None:
    """It may have recorded other facts of its processes; their mark says whose they are."""
    command = working(start, source)
    command.kill()
    command.wait()
    record = home / "endless" / "services.json"
    facts = json.loads(record.read_text())
    (service,) = facts["processes"]
    for path in (record, *home.rglob(f"*{processes.LEADER}")):
        path.write_text(path.read_text().replace('"boot"', '"something else"'))
    status = start("status")
    out, _ = status.communicate(timeout=60)
    assert (status.returncode, "parts of it run: `triptych down` ends them" in out) == (0, True)
    other = start("backfill", "2024-01", "--on", "endless", "--source", source)
    assert other.stderr is not None
    assert any("2024-01  running" in line for line in other.stderr)
    assert service["pid"] not in {process.pid for process in processes.members(home)}
    other.send_signal(signal.SIGTERM)
    other.communicate(timeout=60)


def test_services_react_to_signals_even_when_we_were_told_to_ignore_them(start: Run, home: Path, source: str) -> None:
    working(start, source, before=["sh", "-c", 'trap "" INT TERM HUP; exec "$0" "$@"'], with_dbt=True)
    ignored = {process.pid: int(_status(process.pid, "SigIgn"), 16) for process in processes.members(home)}
    assert len(ignored) >= 3
    for number in ENDING:
        assert not any(mask >> (number - 1) & 1 for mask in ignored.values())


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def test_a_backfill_leaves_nothing_and_writes_its_facts(start: Run, home: Path, source: str, tmp_path: Path) -> None:
    words = ["backfill", "2024-01", "--on", "quick", "--source", source, "--json", str(tmp_path / "facts.json")]
    command = start(*words, with_dbt=True)
    out, said = command.communicate(timeout=60)
    assert (command.returncode, "quick: 1 success" in out) == (0, True)
    assert "2024-01  success" in said
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert (facts["months"], facts["schema"]) == (["2024-01"], None)
    assert facts["orchestrators"]["quick"]["months"][0]["state"] == "success"
    assert nothing_runs(home)


def test_ctrl_c_cancels_the_run(start: Run, home: Path, warehouse: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = f"source=http://127.0.0.1:{silent.getsockname()[1]}"
        words = ["run", "taxi_pipeline", "--on", "plain", "--month", "2024-01", "--set", source]
        command = start(*words, before=["env", f"TRIPTYCH_DSN={warehouse}"])
        assert command.stderr is not None
        assert any("2024-01  running" in line for line in command.stderr)
        os.killpg(command.pid, signal.SIGINT)
        _, said = command.communicate(timeout=60)
    assert (command.returncode, said.splitlines()[-1]) == (
        130,
        "triptych: interrupted: everything that it started has been ended",
    )
    listed = json.loads(start("runs", "--on", "plain", "--json", "-").communicate(timeout=60)[0])
    assert [(run["state"], run["cause"]) for run in listed["runs"]] == [("canceled", "manual")]
    assert nothing_runs(home)


def test_up_stays_until_down(start: Run, home: Path, source: str) -> None:
    up = start("up", "quick", with_dbt=True)
    out, said = up.communicate(timeout=60)
    assert up.returncode == 0
    name, version, page = out.splitlines()[1].split()
    assert (out.splitlines()[0].split(), name, version) == (["name", "version", "web", "page"], "quick", "1.0")
    assert httpx.get(page, trust_env=False).status_code == 200
    assert re.search(r"^quick +services +starting +starting web$", said, re.MULTILINE)
    assert "`triptych down` ends them" in said and f"{home}/*/logs" in said
    found = {process.pid for process in processes.members(home)}
    assert found
    again = start("up", "quick", "--json", "-", with_dbt=True)
    out, said = again.communicate(timeout=60)
    assert json.loads(out) == {"services": [{"name": "quick", "version": "1.0", "web": page}]}
    assert re.search(r"^quick +services +unchanged .* runs already$", said, re.MULTILINE)
    backfill = start("backfill", "2024-01", "--on", "quick", "--source", source, with_dbt=True)
    backfill.communicate(timeout=60)
    now = {process.pid for process in processes.members(home)}
    assert found <= now, "what was up stays up"
    assert now - found <= {process.pid for process in processes.members(home / "dbt")}, (
        "dbt may have finished warming up"
    )
    status, _ = start("status").communicate(timeout=60)
    assert {"quick": "running", "dbt": "running"}.items() <= dict(
        line.split()[:2] for line in status.splitlines()
    ).items()
    start("down").communicate(timeout=60)
    assert nothing_runs(home)


def test_status_says_who_starts_and_down_ends_it_in_one_line(start: Run, home: Path) -> None:
    """The start of `slow` never ends by itself."""
    up = start("up", "slow")
    assert up.stderr is not None
    assert any("running never" in line for line in up.stderr)
    status = start("status").communicate(timeout=60)[0]
    assert re.search(rf"^slow +starting \(by pid {up.pid}, \d+ s\)", status, re.MULTILINE)
    assert "triptych down" not in status
    other = start("up", "slow")
    assert other.stderr is not None
    assert any(f"pid {up.pid} starts them" in line for line in other.stderr)
    down = start("down")
    down.communicate(timeout=60)
    for command in (up, other):
        said = command.communicate(timeout=60)[1].splitlines()
        assert (command.returncode, said[-1]) == (1, f"triptych: ended by `triptych down` (pid {down.pid})")
        assert [line for line in said[:-1] if "services" not in line] == []
    assert nothing_runs(home)


def test_a_backfill_that_down_ended_says_so(start: Run, home: Path, source: str) -> None:
    command = working(start, source)
    status = start("status").communicate(timeout=60)[0]
    assert re.search(rf"^endless +running, only for pid {command.pid} ", status, re.MULTILINE)
    down = start("down", "--wipe")
    assert down.communicate(timeout=60)[1] == ""
    out, said = command.communicate(timeout=60)
    assert command.returncode == 1
    assert re.fullmatch(r"endless +2024-01 +failed +[0-9.]+ s\n", said), "no word about dead services"
    assert out.splitlines()[-1] == f"endless 2024-01 failed: ended by `triptych down` (pid {down.pid})"
    assert not home.exists()


def test_psql_that_down_ended_says_so(start: Run) -> None:
    command = start("psql", "-c", "DO $$BEGIN RAISE WARNING 'asks'; PERFORM pg_sleep(300); END$$", embedded=True)
    assert command.stderr is not None
    assert any("asks" in line for line in command.stderr)
    down = start("down", embedded=True)
    down.communicate(timeout=60)
    _, said = command.communicate(timeout=60)
    last = said.splitlines()[-1]
    assert (command.returncode, last) == (1, f"triptych: ended by `triptych down` (pid {down.pid})")


def test_a_backfill_whose_state_folder_is_deleted_says_so(start: Run, home: Path, source: str) -> None:
    command = working(start, source, with_dbt=True)
    shutil.rmtree(home)
    out, said = command.communicate(timeout=60)
    assert command.returncode == 1
    assert re.fullmatch(r"endless +2024-01 +failed +[0-9.]+ s\n", said), "no word about dead services"
    assert out.splitlines()[-1] == f"endless 2024-01 failed: ended: somebody has deleted the state folder {home}"
    assert nothing_runs(home)
    # dbt, while it warmed up, may have written there again.
    shutil.rmtree(home, ignore_errors=True)


def test_psql_reaches_the_warehouse_and_leaves_nothing(start: Run, home: Path) -> None:
    asked = start("psql", "--", "-v", "six=6", "-Atc", "SELECT current_user", embedded=True)
    assert asked.communicate(timeout=120)[0].strip() == "triptych"
    wrong = start("psql", "-c", "SELECT 1/0", embedded=True)
    assert "division by zero" in wrong.communicate(timeout=120)[1]
    assert (asked.returncode, wrong.returncode) == (0, 1)
    assert Postgres(home / "postgres").running() is None


def test_what_is_up_can_be_reached_and_read(start: Run, home: Path) -> None:
    assert start("up", "quick", embedded=True).wait(timeout=120) == 0
    dsn = start("dsn", embedded=True).communicate(timeout=60)[0].strip()
    server = Postgres(home / "postgres").running()
    assert server is not None
    assert dsn == f"postgresql://triptych@127.0.0.1:{server.port}/triptych"
    said = start("logs", embedded=True).communicate(timeout=60)[0]
    assert "==> postgres: " in said and "==> quick/web: " in said and "ready to accept connections" in said
    assert start("down", embedded=True).wait(timeout=60) == 0


def test_status_starts_nothing(start: Run, home: Path) -> None:
    out, _ = start("status", embedded=True).communicate(timeout=60)
    assert "not running" in out
    assert not (home / "postgres").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["backfill", "2024-01", "--on", "quick", "--schema", 'Two "words"'],
        ["ledger", "--schema", 'Two "words"'],
    ],
)
def test_a_schema_name_that_is_refused_starts_nothing(start: Run, home: Path, words: list[str]) -> None:
    command = start(*words, embedded=True)
    out, said = command.communicate(timeout=60)
    assert (command.returncode, out) == (2, "")
    assert said.startswith("triptych: 'Two \"words\"' can't be a schema name: ")
    assert said.count("\n") == 1
    assert not home.exists()
