"""The client of the warm dbt server: ask it to run a script, and return how the script ended.

The server is `core.lab.dbt_server`, a service of the lab. Where none runs, nothing here starts one.

A request is one line of JSON; the caller's file descriptors travel with the first byte of it. The answer is two lines:
``started``, then the return code as `subprocess` has it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path


def server_folder(home: Path) -> Path:
    """Return the folder in which the server of the state folder `home` keeps its socket, its log and its lock."""
    return home / "dbt" / "warm"


def socket_path(home: Path, executable: Path) -> Path:
    """Return where the state folder `home` has the socket of the server of `executable`.

    Another executable, or another version under the same name, has another one.
    """
    identity = (str(executable.resolve()), executable.stat().st_mtime_ns if executable.exists() else 0)
    return server_folder(home) / f"{hashlib.sha256(repr(identity).encode()).hexdigest()[:8]}.sock"


def call(
    server: Path,
    words: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: int,
    stderr: int,
    keep_open: Sequence[int] = (),
) -> int | None:
    """Run the server's script with `words` as its arguments; return its return code, negative for a signal.

    Return None when no server took the call: nothing was run then. A call waits for a server that is still warming up.
    A server that dies during a call counts as a killed call. Interrupting this function ends the call.
    """
    request = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env)}).encode() + b"\n"
    # PTH123: a device
    with socket.socket(socket.AF_UNIX) as connection, open(os.devnull, "rb") as nothing:  # noqa: PTH123
        try:
            connection.connect(str(server))
            socket.send_fds(connection, [request[:1]], [nothing.fileno(), stdout, stderr, *keep_open])
            connection.sendall(request[1:])
        except OSError:
            # No server, one that has ended, or a path that is too long for a socket
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
