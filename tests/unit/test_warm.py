"""A script that is kept warm does for each caller what a fresh start of it does, and ends when the caller does."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.lab import dbt_server
from core.transform import dbt_client
from core.waiting import until

TOY = """
import json, os, sys, time
state = {"calls": 0}

def main():
    state["calls"] += 1
    if sys.argv[1] == "facts":
        print(json.dumps({"argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ), "calls": state["calls"]}))
        print("said", file=sys.stderr)
        return int(sys.argv[2])
    if sys.argv[1] == "end":
        print("written, not flushed", end="")
        if sys.argv[2] == "raise":
            raise ValueError("a bug")
        sys.exit({"none": None, "text": "a message"}.get(sys.argv[2]))
    if sys.argv[1] == "read":
        return len(os.read(0, 10))
    if sys.argv[1] == "work":
        sum(range(10_000_000))
    if sys.argv[1] == "hang":
        open(sys.argv[2], "w").write(str(os.getpid()))
        while True:
            time.sleep(1)
    if sys.argv[1] == "stubborn":
        open(sys.argv[2], "w").close()
        while True:
            try:
                time.sleep(0.01)
            # As dbt does.
            except SystemExit:
                pass
    if sys.argv[1] == "thread":
        import threading
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    if sys.argv[1] == "wait":
        while not os.path.exists(sys.argv[2]):
            time.sleep(0.01)
"""

WARM_UP = """
import sys, toy

def warm_up(words):
    sys.argv = ["toy", *words]
    toy.main()
"""


@dataclass
class Served:
    """A toy script and its server's socket."""

    path: Path
    process: subprocess.Popen[bytes]

    def call(
        self, *words: str, env: dict[str, str] | None = None, keep_open: tuple[int, ...] = ()
    ) -> tuple[int | None, str, str]:
        """Return the return code and what was written to both streams."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = dbt_client.call(
                self.path,
                words,
                cwd=self.path.parent,
                env=env or {},
                stdout=out.fileno(),
                stderr=err.fileno(),
                keep_open=keep_open,
            )
            texts = [(file.seek(0), file.read().decode())[1] for file in (out, err)]
        return code, texts[0], texts[1]


def start(folder: Path, *first_call: str) -> Served:
    """Serve a toy console script, installed as a folder on the path."""
    (folder / "toy.py").write_text(TOY)
    facts = folder / "toy-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[console_scripts]\ntoy = toy:main\n")
    (folder / "warm_up.py").write_text(WARM_UP)
    words = [
        sys.executable,
        "-P",
        dbt_server.__file__,
        str(folder / "socket"),
        "toy",
        str(folder / "warm_up.py"),
        *first_call,
    ]
    process = subprocess.Popen(words, env={"PYTHONPATH": str(folder)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until(lambda: (folder / "socket").exists() or process.poll() is not None or None, 30, 0.01, "the socket")
    return Served(folder / "socket", process)


def test_sigterm_ends_a_server_that_warms_up(tmp_path: Path) -> None:
    """The warm-up may catch an exception that a signal handler raises: dbt catches all."""
    served = start(tmp_path, "stubborn", str(tmp_path / "begun"))
    until((tmp_path / "begun").exists, 30, 0.01, "the warm-up")
    served.process.terminate()
    served.process.communicate(timeout=30)
    assert served.process.returncode == 0


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Served]:
    served = start(tmp_path, "facts", "0")
    yield served
    served.process.terminate()
    served.process.communicate(timeout=30)


def facts(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_call_has_the_callers_arguments_environment_folder_and_streams(toy: Served) -> None:
    code, out, err = toy.call("facts", "3", "--x", env={"A": "b"})
    assert (code, err) == (3, "said\n")
    assert facts(out) == {
        "argv": ["toy", "facts", "3", "--x"], "cwd": str(toy.path.parent), "env": {"A": "b"}, "calls": 2,
    }  # fmt: skip


def test_a_call_leaves_nothing_behind_for_the_next_one(toy: Served) -> None:
    for _ in range(3):
        code, out, _ = toy.call("facts", "0")
        assert (code, facts(out)["calls"]) == (0, 2), "the warm-up was the first call, and each other one is the second"


@pytest.mark.parametrize(
    ("way", "code", "said"), [("none", 0, ""), ("text", 1, "a message\n"), ("raise", 1, "ValueError: a bug\n")]
)
def test_a_call_ends_as_a_script_does(toy: Served, way: str, code: int, said: str) -> None:
    ended = toy.call("end", way)
    assert ended[:2] == (code, "written, not flushed")
    assert ended[2].endswith(said)
    assert bool(said) == bool(ended[2])


def test_the_server_waits_for_a_call_that_has_ended_and_knows_what_it_used(toy: Served) -> None:
    server = psutil.Process(toy.process.pid)
    assert toy.call("work")[0] == 0
    until(lambda: not server.children() or None, 30, 0.01, "the end of the call")
    used = server.cpu_times()
    assert used.children_user + used.children_system > 0.05


def test_standard_input_is_empty(toy: Served) -> None:
    assert toy.call("read")[0] == 0


def test_an_inherited_lock_is_held_until_the_call_ends(toy: Served, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as other, ThreadPoolExecutor(1) as pool:
        with (tmp_path / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            call, process = hanging(toy, tmp_path, pool, keep_open=(file.fileno(),))
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.kill()
        assert call.result()[0] == -signal.SIGKILL
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_calls_run_side_by_side(toy: Served, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(toy.call, "wait", str(tmp_path / "go")) for _ in range(2)]
        assert toy.call("facts", "0")[0] == 0
        (tmp_path / "go").touch()
        assert [each.result()[0] for each in waiting] == [0, 0]


def hanging(
    toy: Served, tmp_path: Path, pool: ThreadPoolExecutor, keep_open: tuple[int, ...] = ()
) -> tuple[Any, psutil.Process]:
    """Start a call that does not end by itself; return it and its process."""
    note = tmp_path / "pid"
    call = pool.submit(toy.call, "hang", str(note), keep_open=keep_open)
    pid = until(lambda: note.read_text() if note.exists() and note.read_text() else None, 30, 0.01, "the call's pid")
    return call, psutil.Process(int(pid))


def test_a_killed_call_returns_its_signal(toy: Served, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        call, process = hanging(toy, tmp_path, pool)
        process.send_signal(signal.SIGTERM)
        assert call.result()[0] == -signal.SIGTERM
    assert toy.call("facts", "0")[0] == 0


def test_a_server_that_dies_during_a_call_counts_as_a_killed_call(toy: Served, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        call, process = hanging(toy, tmp_path, pool)
        waiter = process.parent()
        assert waiter is not None
        waiter.kill()
        process.kill()
        assert call.result()[0] == -signal.SIGKILL


def test_a_call_ends_with_its_caller(toy: Served, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = (
        "import sys; from pathlib import Path; from core.transform import dbt_client\n"
        "dbt_client.call(Path(sys.argv[1]), ['hang', sys.argv[2]], cwd=Path('/'), env={}, stdout=1, stderr=2)"
    )
    caller = subprocess.Popen([sys.executable, "-c", script, str(toy.path), str(note)])
    pid = int(until(lambda: note.read_text() if note.exists() and note.read_text() else None, 30, 0.01, "the pid"))
    caller.kill()
    caller.wait()
    until(lambda: not psutil.pid_exists(pid) or None, 30, 0.02, f"the end of process {pid}")


def test_a_call_waits_for_a_server_that_warms_up(tmp_path: Path) -> None:
    served = start(tmp_path, "wait", str(tmp_path / "go"))
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(served.call, "facts", "0")
        (tmp_path / "go").touch()
        assert call.result()[0] == 0
    served.process.terminate()
    served.process.communicate(timeout=30)


@pytest.mark.parametrize("path_is", ["nothing", "a dead server's socket", "too long"])
def test_without_a_server_nothing_is_run(tmp_path: Path, path_is: str) -> None:
    path = tmp_path / ("x" * 200 if path_is == "too long" else "socket")
    if path_is == "a dead server's socket":
        served = start(tmp_path, "facts", "0")
        served.process.kill()
        served.process.communicate(timeout=30)
        assert path.exists()
    assert dbt_client.call(path, ["facts", "0"], cwd=tmp_path, env={}, stdout=1, stderr=2) is None


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_a_server_with_threads_does_not_serve(tmp_path: Path) -> None:
    served = start(tmp_path, "thread")
    output, _ = served.process.communicate(timeout=30)
    assert served.process.returncode == 1
    assert output == b"the first calls left threads running: calls can't be forked from here\n"
    assert served.call("facts", "0")[0] is None


def test_a_script_that_is_not_installed_is_named(tmp_path: Path) -> None:
    words = [sys.executable, "-P", dbt_server.__file__, str(tmp_path / "socket"), "no-such-script", "no-such-file"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("no-such-script: 0 console scripts of this name in ")


def test_the_socket_is_for_this_user_only(toy: Served) -> None:
    assert toy.path.stat().st_mode & 0o077 == 0
