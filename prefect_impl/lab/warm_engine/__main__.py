"""The warm engine: a service of the lab, on a socket in PREFECT_HOME.

python -m prefect_impl.lab.warm_engine
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from prefect_impl.lab.warm_engine.client import NOTES, SOCKET
from prefect_impl.lab.warm_engine.loaded import Loaded, load
from prefect_impl.lab.warm_engine.supervisor import supervise

ENGINE = "prefect.engine"

PRELOADED = (
    ENGINE,
    "prefect.main",
    "prefect.flow_engine",
    "prefect.task_engine",
    "prefect._internal.metrics",
    "prefect_impl.flows",
    "core.extract",
    "core.load",
    "core.transform",
)
"""What a run of ours uses, also what it would import only when a task is called."""


def main(preloaded: Sequence[str] = PRELOADED, engine: str = ENGINE) -> None:
    """Import what a run needs, and fork for each request, until killed."""
    loaded = load(preloaded)
    check_single_thread()
    with listen(Path(os.environ["PREFECT_HOME"])) as listening:
        print(f"The warm engine is ready; {len(loaded.files)} files are watched for changes", flush=True)
        # Without this the collector writes to every page, and each run copies them all.
        gc.collect()
        gc.freeze()
        serve(listening, loaded, engine)


def check_single_thread() -> None:
    """Exit when there are other threads: a fork copies the locks that they hold, and not the threads."""
    tasks = Path("/proc/self/task")
    count = len(list(tasks.iterdir())) if tasks.is_dir() else threading.active_count()
    if count != 1:
        sys.exit(f"The imports left {count - 1} threads running: no run can be forked from here")


def listen(home: Path) -> socket.socket:
    """Return the listening socket, for this user only: a request carries the environment, which holds passwords."""
    Path(home, NOTES).mkdir(mode=0o700, exist_ok=True)
    here, listening = Path.cwd(), socket.socket(socket.AF_UNIX)
    mask = os.umask(0o077)
    # By its name alone: the path of a socket has at most 103 or 107 bytes.
    os.chdir(home)
    try:
        Path(SOCKET).unlink(missing_ok=True)
        listening.bind(SOCKET)
    finally:
        os.chdir(here)
        os.umask(mask)
    listening.listen()
    return listening


def serve(listening: socket.socket, loaded: Loaded, engine: str) -> None:
    """Fork a supervisor for each request."""
    # The kernel would reap the supervisors by itself, and drop what their runs used: nothing could say what runs cost.
    signal.signal(signal.SIGCHLD, reap)
    while True:
        link, _ = listening.accept()
        with link:
            if fork() == 0:
                listening.close()
                supervise(link, loaded, engine)


def reap(_number: int, _frame: FrameType | None) -> None:
    """Wait for the supervisors that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def fork() -> int | None:
    """Fork, and return what `os.fork` does; None when there is no process to be had: the run then starts cold."""
    try:
        return os.fork()
    except OSError as error:
        print(f"The warm engine can't fork: {error}", flush=True)
        return None


if __name__ == "__main__":
    main()
