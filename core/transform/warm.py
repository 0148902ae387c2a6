"""A console script kept warm: its imports are paid once, by a resident process that forks for each call.

    server   python -P core/warm.py SOCKET SCRIPT WARM_UP WORD...     in the script's own environment
    client   call(socket, words, ...)                                anywhere; gives None when nobody serves

A call runs in a process of its own, forked from one that has imported everything and has done what is the same for each call:
WARM_UP is a Python file whose `warm_up` is called with the words behind its name.
So it does what a fresh start does, with the same results, errors and logs, and leaves nothing behind for the next one.
It gets the caller's arguments, environment, working directory and open files; when the caller goes away, it is ended.

For dbt a start costs 1 to 5 CPU seconds of imports, and a first parse about as much again, before any SQL.

Standard library only, and no import of `core`: the server runs where nothing of this project is installed. A client sends
its file descriptors, a length and a JSON object, and gets two lines: ``started``, then the return code as `subprocess` has it.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import runpy
import signal
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NoReturn

MAX_FILES = 8
"""Descriptors that one request may carry: stdin, stdout, stderr, and what the call keeps open."""

_LENGTH = struct.Struct("!Q")


# --- client -------------------------------------------------------------------------------------------------------------


def call(
    server: Path, words: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: int, stderr: int, keep_open: Sequence[int] = ()
) -> int | None:  # fmt: skip
    """Run the script with `words` behind its name; give its return code, negative for a signal.

    None when no server took the call: nothing was run then. A server that is still warming up is waited for. When the
    server dies in the middle of a call it is as if the call was killed. Interrupting this function ends the call.
    """
    request = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env)}).encode()
    with socket.socket(socket.AF_UNIX) as connection, open(os.devnull, "rb") as nothing:  # noqa: PTH123  # a device
        try:
            connection.connect(str(server))
            socket.send_fds(connection, [_LENGTH.pack(len(request))], [nothing.fileno(), stdout, stderr, *keep_open])
            connection.sendall(request)
        except OSError:  # nobody there, nobody any more, or a path that is too long for a socket
            return None
        answer = _read_all(connection).split()
    if not answer:
        return None
    return int(answer[1]) if len(answer) == 2 else -signal.SIGKILL


def _read_all(connection: socket.socket) -> bytes:
    parts = []
    with suppress(ConnectionError):
        while part := connection.recv(4096):
            parts.append(part)
    return b"".join(parts)


# --- server -------------------------------------------------------------------------------------------------------------


def serve(path: Path, script: str, warm_up: str, words: Sequence[str]) -> None:
    """Warm up, then fork for each call, until SIGTERM. Who calls while we warm up waits in the queue of the socket."""
    unheard = path.with_suffix(".new")
    unheard.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        mask = os.umask(0o077)  # a request carries a password, and a call can run anything: for this user only
        listening.bind(str(unheard))
        os.umask(mask)
        listening.listen()
        unheard.replace(path)  # who sees it may call: one that nobody listens to yet refuses
        main = _load(script)
        runpy.run_path(warm_up)["warm_up"](list(words))
        sys.stdout.flush()  # what a buffer holds would be written again by each child
        sys.stderr.flush()
        _assert_alone()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the waiters are reaped by the kernel
        gc.collect()
        gc.freeze()  # else the collector writes to every page, and each child copies them all
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _wait_on(connection, script, main)
            connection.close()


def _load(script: str) -> Callable[[], Any]:
    found = list(entry_points(group="console_scripts", name=script))
    if len(found) != 1:
        sys.exit(f"{script}: {len(found)} console scripts of this name in {sys.prefix}")
    main: Callable[[], Any] = found[0].load()
    return main


def _assert_alone() -> None:
    """A thread does not survive a fork, but the locks that it holds do: with one, calls would hang."""
    tasks = Path("/proc/self/task")
    if tasks.is_dir() and len(list(tasks.iterdir())) != 1:
        sys.exit("the first calls left threads running: calls can't be forked from here")


def _wait_on(connection: socket.socket, script: str, main: Callable[[], Any]) -> NoReturn:
    """Run one call in a child and tell the caller how it ended; end it when the caller is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    request, files = _receive(connection)
    # A Process ends like a script, but does not take its interpreter down: that touches, so copies, half of all pages.
    child = multiprocessing.get_context("fork").Process(target=_run, args=(connection, script, main, request, files))
    with suppress(ConnectionError):
        connection.sendall(b"started\n")  # first: who hears nothing takes it that nothing runs
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
    gc.disable()  # its memory goes with the process; collecting is 0.14 CPU s of a small dbt build
    sys.exit(main())


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    length, files, _, _ = socket.recv_fds(connection, _LENGTH.size, MAX_FILES)
    with connection.makefile("rb") as stream:
        text = stream.read(_LENGTH.unpack(length)[0]) if len(length) == _LENGTH.size else b""
    try:
        request: dict[str, Any] = json.loads(text)
    except ValueError:  # the caller went away before it had said all
        os._exit(0)
    return request, files


def _become(script: str, request: Mapping[str, Any], files: Sequence[int]) -> None:
    """Take on what the caller would have given to a process of its own."""
    for number, file in enumerate(files[:3]):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = [script, *request["words"]]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # dbt, which warms up, catches SystemExit
    serve(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
