"""The warm dbt server: it imports a console script once, and forks for each call of it.

    python -P core/lab/dbt_server.py SOCKET SCRIPT WARM_UP WORD...     in the script's own environment

A call runs in a process of its own, forked from one that has imported everything and has done what every call needs:
WARM_UP is a Python file whose `warm_up` is called with the words behind its name. So a call does what a fresh start
does, with the same results, errors and logs, and leaves nothing behind for the next one. It gets the caller's
arguments, environment, working directory and open files; when the caller goes away, it is ended.

A cold start of dbt costs 1 to 5 CPU seconds of imports, and a first parse about as much again, before any SQL.

Standard library only, and no import of `core`: this file runs where nothing of this project is installed. The client,
and what they send one another, is `core.transform.dbt_client`.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

MAX_FILES = 8
"""File descriptors that one request may carry: stdin, stdout, stderr, and what the call keeps open."""


def serve(path: Path, script: str, warm_up: str, words: Sequence[str]) -> None:
    """Warm up, then fork for each call, until SIGTERM. Calls during the warm-up wait in the socket's queue."""
    not_listening = path.with_suffix(".new")
    not_listening.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        # A request carries a password, and a call can run anything: for this user only
        mask = os.umask(0o077)
        listening.bind(str(not_listening))
        os.umask(mask)
        listening.listen()
        # Whoever sees the socket may call; before `listen` it would refuse
        not_listening.replace(path)
        main = _load(script)
        runpy.run_path(warm_up)["warm_up"](list(words))
        # Each child would write again what a buffer still holds
        sys.stdout.flush()
        sys.stderr.flush()
        _assert_single_thread()
        # The kernel would reap the children by itself, and drop what they used: then nothing could say what dbt costs
        signal.signal(signal.SIGCHLD, _reap)
        # Without this the collector writes to every page, and each child copies them all
        gc.collect()
        gc.freeze()
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _handle(connection, script, main)
            connection.close()


def _reap(_number: int, _frame: FrameType | None) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _load(script: str) -> Callable[[], Any]:
    found = list(entry_points(group="console_scripts", name=script))
    if len(found) != 1:
        sys.exit(f"{script}: {len(found)} console scripts of this name in {sys.prefix}")
    main: Callable[[], Any] = found[0].load()
    return main


def _assert_single_thread() -> None:
    """Exit when there are threads: a fork copies the locks that they hold, and not the threads, so calls would hang."""
    tasks = Path("/proc/self/task")
    if tasks.is_dir() and len(list(tasks.iterdir())) != 1:
        sys.exit("the first calls left threads running: calls can't be forked from here")


def _handle(connection: socket.socket, script: str, main: Callable[[], Any]) -> NoReturn:
    """Run one call in a child, and tell the caller how it ended; end it when the caller is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    request, files = _receive(connection)
    # A Process ends like a script, but does not shut its interpreter down: that touches, so copies, half of all pages.
    child = multiprocessing.get_context("fork").Process(target=_run, args=(connection, script, main, request, files))
    # Before the child starts: a caller that hears nothing takes it that nothing runs
    with suppress(ConnectionError):
        connection.sendall(b"started\n")
    child.start()
    for each in files:
        os.close(each)
    if child.sentinel not in wait([child.sentinel, connection]):
        child.kill()
    child.join()
    with suppress(ConnectionError):
        connection.sendall(b"%d\n" % (child.exitcode or 0))
    os._exit(0)


def _run(
    connection: socket.socket, script: str, main: Callable[[], Any], request: Mapping[str, Any], files: Sequence[int]
) -> NoReturn:
    connection.close()
    _become(script, request, files)
    # Its memory goes with the process; collecting is 0.14 CPU s of a small dbt build
    gc.disable()
    sys.exit(main())


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    first, files, _, _ = socket.recv_fds(connection, 1, MAX_FILES)
    with connection.makefile("rb") as stream:
        line = first + stream.readline()
    try:
        request: dict[str, Any] = json.loads(line)
    except ValueError:
        # The caller went away before it had sent everything
        os._exit(0)
    return request, files


def _become(script: str, request: Mapping[str, Any], files: Sequence[int]) -> None:
    """Take the streams, environment, folder and arguments that the caller would have passed to a process of its own."""
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = [script, *request["words"]]


if __name__ == "__main__":
    # Not sys.exit: dbt, which warms up, catches SystemExit
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    serve(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
