"""The warm engine: what its runs see, how they end, and what becomes of them when one of its processes is killed.

An engine of a few lines stands in for Prefect's. The contract tests have the real one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from core.settings import ROOT
from core.waiting import until
from prefect_impl.lab import runs
from prefect_impl.lab.warm_engine import client, loaded
from prefect_impl.lab.warm_engine.__main__ import check_single_thread

COLD = "The warm engine does not take this run, which starts cold: "

STAND_IN = """
import json, os, random, signal, sys, threading, time
if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "tell":
        atexit = __import__("atexit").register(lambda: print("ended"))
        sys.modules["threading"]._register_atexit(lambda: print("threads ended"))
        print(json.dumps({
            "random": random.random(), "run": os.environ.get("PREFECT__FLOW_RUN_ID"), "cwd": os.getcwd(),
            "threads": threading.active_count(), "words": words, "read": sys.stdin.read(),
            "files": sorted(map(int, os.listdir("/dev/fd"))),
            "signals": [signal.getsignal(each) is default for each, default in (
                (signal.SIGTERM, signal.SIG_DFL), (signal.SIGCHLD, signal.SIG_DFL))],
        }))
        print("to stderr", file=sys.stderr)
    elif what == "exit":
        sys.exit(int(words[0]))
    elif what == "work":
        while time.process_time() < float(words[0]):
            pass
    elif what == "raise":
        raise ValueError(*words)
    elif what == "kill":
        os.kill(os.getpid(), int(words[0]))
    elif what == "wait":
        if words:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(words[0])))
        print(os.getpid(), os.getppid(), flush=True)
        while True:
            signal.pause()
"""

SERVE = """
import signal
from prefect_impl.lab.warm_engine.__main__ import main

# A shell that starts the tests in the background has them, and whatever they start, ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
main(['stand_in'], 'stand_in')
"""

Client = subprocess.Popen[str]


@dataclass
class Engine:
    """A warm engine, and its clients."""

    process: Client
    env: dict[str, str]
    started: list[Client]

    @property
    def home(self) -> Path:
        return Path(self.env["PREFECT_HOME"])

    def start(self, *words: str, env: dict[str, str] | None = None) -> Client:
        """Start a client, as the worker does."""
        command = [sys.executable, "-S", "-E", "-P", client.__file__, *words]
        run = subprocess.Popen(
            command, env=self.env | (env or {}), cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.started.append(run)
        return run

    def ran(self, *words: str, env: dict[str, str] | None = None, given: str = "") -> tuple[int, str, str]:
        """Start a client and wait for its end; return its exit code and its two outputs."""
        run = self.start(*words, env=env)
        out, err = run.communicate(given, timeout=120)
        return run.returncode, out, err

    def told(self, *words: str, **more: Any) -> dict[str, Any]:
        """Return the facts that a run tells of itself."""
        code, out, err = self.ran("tell", *words, **more)
        assert (code, err) == (0, "to stderr\n")
        facts: dict[str, Any] = json.loads(out.splitlines()[0])
        return facts

    def waiting(self, *words: str) -> tuple[Client, int, int]:
        """Return a client whose run waits, the pid of the run, and that of its supervisor."""
        run = self.start("wait", *words)
        assert run.stdout
        pid, supervisor = map(int, run.stdout.readline().split())
        return run, pid, supervisor


@contextmanager
def served(home: Path) -> Iterator[Engine]:
    """Serve in `home`, and end everything afterwards."""
    home.mkdir(parents=True)
    Path(home, "stand_in.py").write_text(STAND_IN)
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    # What Prefect's first profile sets, as a worker spells it out.
    env |= {"PREFECT_HOME": str(home), "PYTHONPATH": str(home), "PREFECT_SERVER_EPHEMERAL_ENABLED": "True"}
    log = home / "log"
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "-c", SERVE], env=env, cwd=ROOT, text=True, stdout=out, stderr=out)
    engine = Engine(process, env, [])
    try:
        until(lambda: "is ready" in log.read_text() or None, 120, 0.02, "the warm engine")
        yield engine
    finally:
        for each in (*engine.started, process):
            each.kill()
            each.communicate()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    # Its socket's path is longer than an address may be.
    with served(tmp_path_factory.mktemp("warm") / ("long" * 30)) as engine:
        yield engine


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Engine]:
    """Yield a warm engine that the test may kill."""
    with served(tmp_path / "home") as engine:
        yield engine


def is_over(pid: int) -> Callable[[], bool | None]:
    """Return what returns True once the process has ended: a zombie has."""

    def ended() -> bool | None:
        ps = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return ps.stdout.strip() in ("", "Z", "Zs") or None

    return ended


# --- what a run sees


def test_a_run_has_the_arguments_streams_and_variables_of_its_client(engine: Engine) -> None:
    facts = engine.told("a", "b c", env={"PREFECT__FLOW_RUN_ID": "7"}, given="to stdin")
    assert (facts["words"], facts["run"], facts["read"]) == (["a", "b c"], "7", "to stdin")
    assert facts["cwd"] == str(ROOT)


def test_a_run_has_one_thread_and_no_file_or_signal_of_the_engine(engine: Engine) -> None:
    with run_beside(engine):
        facts = engine.told()
    assert facts["threads"] == 1
    # The fourth is the folder that it lists.
    assert facts["files"] == [0, 1, 2, 3]
    assert facts["signals"] == [True, True]


@contextmanager
def run_beside(engine: Engine) -> Iterator[None]:
    """Have another run, whose link no other one may hold."""
    run, _, _ = engine.waiting()
    yield
    run.kill()


def test_no_two_runs_have_the_same_random_numbers(engine: Engine) -> None:
    assert engine.told()["random"] != engine.told()["random"]


def test_a_run_ends_as_an_interpreter_does(engine: Engine) -> None:
    """Prefect sends the last lines of a log from there."""
    assert engine.ran("tell")[1].splitlines()[1:] == ["threads ended", "ended"]


# --- how it ends


@pytest.mark.parametrize("code", [0, 3])
def test_the_client_ends_with_the_run_s_exit_code(engine: Engine, code: int) -> None:
    assert engine.ran("exit", str(code)) == (code, "", "")


def test_a_run_that_raises_ends_with_its_traceback(engine: Engine) -> None:
    code, _, err = engine.ran("raise", "why")
    assert code == 1
    assert err.endswith("ValueError: why\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_the_client_ends_by_the_run_s_signal(engine: Engine, number: int) -> None:
    assert engine.ran("kill", str(int(number)))[0] == -number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_client_passes_a_signal_on(engine: Engine, number: int) -> None:
    run, pid, _ = engine.waiting()
    run.send_signal(number)
    run.communicate(timeout=60)
    assert run.returncode in (-number, 1 if number == signal.SIGINT else None)
    assert is_over(pid)()


def test_a_run_may_end_well_after_a_signal(engine: Engine) -> None:
    run, _, _ = engine.waiting("5")
    run.terminate()
    run.communicate(timeout=60)
    assert run.returncode == 5


# --- kills


def test_a_killed_client_takes_its_run_along(engine: Engine) -> None:
    run, pid, supervisor = engine.waiting()
    run.kill()
    until(is_over(pid), 60, 0.02, "the run's end")
    until(is_over(supervisor), 60, 0.02, "the supervisor's end")


def test_a_killed_run_is_a_killed_client(engine: Engine) -> None:
    run, pid, _ = engine.waiting()
    os.kill(pid, signal.SIGKILL)
    run.communicate(timeout=60)
    assert run.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="no PR_SET_PDEATHSIG")
def test_a_killed_supervisor_takes_its_run_and_its_client_along(engine: Engine) -> None:
    run, pid, supervisor = engine.waiting()
    os.kill(supervisor, signal.SIGKILL)
    run.communicate(timeout=60)
    assert run.returncode == -signal.SIGKILL
    until(is_over(pid), 60, 0.02, "the run's end")


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_what_runs_used_is_on_the_account_of_the_engine(own: Engine) -> None:
    """A benchmark reads it there. What the kernel reaps by itself is on the account of no process."""

    def used() -> int:
        """Return the ticks of all ended processes below the engine: utime and stime of proc(5), a hundredth each."""
        after_name = Path(f"/proc/{own.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(after_name[13]) + int(after_name[14])

    assert own.ran("work", "0.5")[0] == 0
    until(lambda: used() >= 30 or None, 60, 0.02, "the account of the run")


def test_a_killed_engine_ends_no_run_and_the_next_one_starts_cold(own: Engine) -> None:
    run, _, _ = own.waiting("5")
    own.process.kill()
    own.process.wait()
    code, _, err = own.ran("no-id")
    assert (code, err.splitlines()[0]) == (1, f"{COLD}it does not answer ([Errno 111] Connection refused)")
    assert "Invalid flow run id" in err
    run.terminate()
    run.communicate(timeout=60)
    assert run.returncode == 5


# --- what else may go wrong


def test_without_an_engine_a_run_starts_cold(engine: Engine, tmp_path: Path) -> None:
    code, _, err = engine.ran("no-id", env={"PREFECT_HOME": str(tmp_path)})
    assert code == 1
    assert err.startswith(f"{COLD}it does not answer ([Errno 2] ")
    assert "Invalid flow run id" in err


def test_other_variables_are_named_without_their_values(engine: Engine) -> None:
    _, _, err = engine.ran("no-id", env={"PREFECT_API_KEY": "secret", "TZ": "UTC"})
    assert err.splitlines()[0] == f"{COLD}other variables than the warm engine's: PREFECT_API_KEY, TZ"
    assert "secret" not in err.splitlines()[0]


def test_a_stopped_engine_holds_no_run_back(own: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    own.process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(client, "PATIENCE_S", 0.1)
    monkeypatch.setenv("PREFECT_HOME", str(own.home))
    with socket.socket(socket.AF_UNIX) as link:
        assert client.ask(link) == "it does not answer (timed out)"
    # What it reads when it goes on is a client that has gone: it must not start that run.
    own.process.send_signal(signal.SIGCONT)
    own.told()
    assert list((own.home / client.NOTES).iterdir()) == []


@pytest.mark.parametrize("sent", [b"", b"{", b"no json\n", b"{}\n", b"[]\n", b'{"env": {}, "cwd": "/"}\n'])
def test_a_stalled_or_malformed_request_blocks_no_other_one(engine: Engine, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as link:
        with pytest.MonkeyPatch.context() as at_home:
            at_home.chdir(ROOT)
            client.connect(link, str(engine.home))
        link.sendall(sent)
        assert engine.ran("exit", "4")[0] == 4
    assert engine.process.poll() is None


def test_the_socket_and_the_notes_are_for_this_user_only(engine: Engine) -> None:
    assert stat.S_IMODE((engine.home / client.SOCKET).stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE((engine.home / client.NOTES).stat().st_mode) == 0o700


def test_an_engine_with_threads_does_not_serve() -> None:
    code = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    code += f"from {check_single_thread.__module__} import check_single_thread; check_single_thread()"
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (ran.returncode, ran.stderr) == (1, "The imports left 1 threads running: no run can be forked from here\n")


# --- what it is made from


def test_a_file_that_changed_since_it_was_loaded_is_named(tmp_path: Path) -> None:
    kept, edited, deleted, new = (tmp_path / name for name in ("kept", "edited", "deleted", "new"))
    for path in (kept, edited, deleted):
        path.write_text("")
    made_from = loaded.Loaded({}, "/", {str(path): loaded.modified(str(path)) for path in (kept, edited, deleted, new)})
    assert made_from.refusal({}, "/") is None
    os.utime(edited, (1, 1))
    deleted.unlink()
    new.write_text("")
    assert made_from.refusal({}, "/") == f"changed since it was loaded: {deleted}, {edited}, {new}"


def test_another_folder_is_refused_and_another_run_is_not() -> None:
    made_from = loaded.Loaded({"A": "1"}, "/", {})
    assert made_from.refusal({"A": "1", "PREFECT__FLOW_RUN_ID": "7"}, "/") is None
    assert made_from.refusal({"A": "1"}, "/tmp") == "another folder than the warm engine's: /tmp"


# --- whom a drill hits


def test_the_process_of_a_run_is_the_one_that_works(engine: Engine) -> None:
    run, pid, _ = engine.waiting()
    assert runs.process_of(engine.home, run.pid) == pid
    run.kill()
    until(is_over(pid), 60, 0.02, "the run's end")
    until(lambda: runs.process_of(engine.home, run.pid) == run.pid or None, 60, 0.02, "the note's end")


def test_the_note_of_a_process_that_is_gone_does_not_count(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    Path(tmp_path, client.NOTES).mkdir()
    Path(tmp_path, client.NOTES, "1").write_text(str(gone.pid))
    assert runs.process_of(tmp_path, 1) == 1
