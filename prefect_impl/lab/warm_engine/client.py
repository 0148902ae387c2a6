"""The command of a warm run: have the warm engine execute the flow run, and end as that ended.

    python -S -E -P prefect_impl/lab/warm_engine/client.py

A worker starts this in place of ``python -m prefect.engine``. It hands its arguments, environment, folder, and streams
to the warm engine, and passes signals on to the run. When it is killed, the run is.

It becomes that very engine when the warm one does not run, or refuses: cold is always right, warm is only fast.

Standard library only, and little of it, without pathlib: this starts for each run.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

SOCKET = "engine.sock"
"""The name of the warm engine's socket in PREFECT_HOME."""

NOTES = "engine.runs"
"""The folder beside it that has, under the pid of each client, the pid of its run."""

READY = b"ready"
"""What the warm engine answers when it can take the run; anything else is why it can't."""
GO = b"\0"
"""What this sends then. The run starts only now: whoever gives up before knows that it never will."""

PATIENCE_S = 10.0
"""How long either side waits for the other one's next message before the run starts. A cold start takes 2 s."""

PASSED_ON = (signal.SIGTERM, signal.SIGINT)


def main() -> NoReturn:
    """Have the run executed, warm or cold."""
    link = socket.socket(socket.AF_UNIX)
    if refused := ask(link):
        print(f"The warm engine does not take this run, which starts cold: {refused}", file=sys.stderr, flush=True)
        os.execv(sys.executable, [sys.executable, "-m", "prefect.engine", *sys.argv[1:]])
    # Until now a signal ended this process, and with it the run.
    for number in PASSED_ON:
        signal.signal(number, passes_on(link))
    end_as(ending(link))


def ask(link: socket.socket) -> str | None:
    """Connect to the warm engine and have it start the run; return why it did not, or None if it did."""
    request = {"pid": os.getpid(), "words": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}  # noqa: PTH109 (see above)
    line = json.dumps(request).encode() + b"\n"
    link.settimeout(PATIENCE_S)
    try:
        connect(link, os.environ.get("PREFECT_HOME", ""))
        socket.send_fds(link, [line[:1]], [0, 1, 2])
        link.sendall(line[1:])
        said = link.recv(4096)
        if said == READY:
            link.sendall(GO)
    except OSError as error:
        return f"it does not answer ({error})"
    link.settimeout(None)
    return None if said == READY else said.decode(errors="replace") or "it hung up"


def connect(link: socket.socket, home: str) -> None:
    """Connect to the socket in `home`. By its name alone: the path of a socket has at most 103 or 107 bytes."""
    here = os.getcwd()  # noqa: PTH109
    os.chdir(home)
    try:
        link.connect(SOCKET)
    finally:
        os.chdir(here)


def passes_on(link: socket.socket) -> Callable[[int, FrameType | None], None]:
    """Return what sends the number of a signal to the warm engine, which knows which process the run is."""

    def handler(number: int, _frame: FrameType | None) -> None:
        # When the run has ended, its ending is about to be read.
        with suppress(OSError):
            link.send(bytes([number]))

    return handler


def ending(link: socket.socket) -> int:
    """Return the run's exit code, negative for a signal. What is ended with its supervisor counts as killed."""
    try:
        return int(link.recv(16))
    except (OSError, ValueError):
        return -signal.SIGKILL


def end_as(code: int) -> NoReturn:
    """End with an exit code, or by the same signal."""
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
