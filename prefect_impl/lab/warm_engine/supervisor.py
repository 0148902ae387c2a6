"""The supervisor of one run: it reads the request, forks the run, passes signals on, and reports how the run ended."""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from core.lab.protocol import end_with_parent
from prefect_impl.lab.warm_engine.client import GO, NOTES, PASSED_ON, PATIENCE_S, READY
from prefect_impl.lab.warm_engine.loaded import Loaded

STREAMS = 3

Request = dict[str, Any]


def supervise(link: socket.socket, loaded: Loaded, engine: str) -> NoReturn:
    """Execute the run that a client asks for, in a process of its own. In that one, raise what the engine raises."""
    request, files = agreed(link, loaded)
    note = Path(request["env"]["PREFECT_HOME"], NOTES, str(request["pid"]))
    # Before the fork, or the end of a short run goes unnoticed.
    wake, woken = socket.socketpair()
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno())
    us = os.getpid()
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (link, wake, woken):
            each.close()
        die_with(us)
        take_over(request, files)
        note.write_text(str(os.getpid()))
        execute(engine, request["words"])
    # Of these the run ends, and then this process: when all services are ended, it has time to end well.
    for number in PASSED_ON:
        signal.signal(number, signal.SIG_IGN)
    for file in files:
        os.close(file)
    code = follow(pid, link, wake)
    note.unlink(missing_ok=True)
    with suppress(OSError):
        link.sendall(b"%d" % code)
    # Without the shutdown of an interpreter, which would write to most pages, and so copy them.
    os._exit(0)


def agreed(link: socket.socket, loaded: Loaded) -> tuple[Request, list[int]]:
    """Return the request of a client that waits for its run, and its streams; exit when there is to be no run."""
    link.settimeout(PATIENCE_S)
    # A client that is stalled, gone, or none at all.
    with suppress(OSError, ValueError, KeyError, TypeError):
        request, files = receive(link)
        refusal = loaded.refusal(request["env"], request["cwd"])
        link.sendall(refusal.encode() if refusal else READY)
        if not refusal and link.recv(1) == GO:
            link.settimeout(None)
            return request, files
    os._exit(0)


def receive(link: socket.socket) -> tuple[Request, list[int]]:
    """Return a request, which is one line of JSON, and the files that came with its first byte."""
    line, files, _, _ = socket.recv_fds(link, 1, STREAMS)
    with link.makefile("rb") as stream:
        line += stream.readline()
    request: Request = json.loads(line)
    if len(files) != STREAMS:
        raise ValueError(f"{len(files)} streams")
    return request, list(files)


def follow(pid: int, link: socket.socket, wake: socket.socket) -> int:
    """Pass signals on until the run has ended; return its exit code. Kill it when its client is gone."""
    sources = [wake, link]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if wake in ready:
            wake.recv(64)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        if link in ready:
            numbers = received(link)
            for number in numbers or [signal.SIGKILL]:
                os.kill(pid, number)
            if not numbers:
                sources.remove(link)


def received(link: socket.socket) -> bytes:
    """Return the numbers of the signals that the client has received; nothing when it is gone."""
    try:
        return link.recv(16)
    except OSError:
        return b""


def die_with(parent: int) -> None:
    """End with the process that forked this one: nothing would report how the run ended."""
    end_with_parent()
    # It may have died before that.
    if os.getppid() != parent:
        os._exit(1)


def take_over(request: Request, files: list[int]) -> None:
    """Take the streams, and the variables of the run. Its folder is the warm engine's."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(request["env"])


def execute(engine: str, words: list[str]) -> NoReturn:
    """Do what ``python -m ENGINE WORDS`` does."""
    # `runpy` warns of a module that is loaded already.
    sys.modules.pop(engine, None)
    sys.argv = [engine, *words]
    runpy.run_module(engine, run_name="__main__", alter_sys=True)
    sys.exit()
