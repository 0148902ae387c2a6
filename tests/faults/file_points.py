"""Kill points at file operations: Python itself audits each opening, renaming and removing of a file, in any library.

It works in a process of which we control only the environment: as ``sitecustomize.py`` on PYTHONPATH, this file reports
the points of dbt, cold or warm. `VARIABLE` says what is done where; without it nothing is. An audit event comes before
the operation, so for a fault after it the hook performs the operation itself. This module uses the standard library
only, and imports nothing of this project.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
import threading
from collections import Counter
from contextlib import suppress
from typing import Any

VARIABLE = "TRIPTYCH_FILE_POINTS"
"""JSON: `below` (the folder that is watched), `log` (gets a line for each point), `loader` (its pid), and for a fault
also `at` (a point's name, and which of that name), `when` and `fault`."""

CHANGES = {
    "open": "write", "os.mkdir": "mkdir", "os.rename": "rename", "os.remove": "remove", "os.rmdir": "rmdir",
    "os.truncate": "truncate", "os.link": "link", "os.symlink": "symlink",
}  # fmt: skip
PROCESSES = {"subprocess.Popen": "start of dbt", "socket.connect": "call of the warm dbt"}
MET = "met"
"""The note that the point of the fault was reached."""
HALF = 100
"""Bytes that are written of a file whose writer is killed."""

_seen = Counter[str]()
_inside = threading.local()


def install() -> None:
    """Report the points of this process from now on. This cannot be undone."""
    sys.addaudithook(_hook)
    # Python ignores this signal, so that a write past the limit would be an error and not the end.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if (event in CHANGES or event in PROCESSES) and VARIABLE in os.environ and not getattr(_inside, "now", False):
        _inside.now = True
        try:
            _look(json.loads(os.environ[VARIABLE]), event, arguments)
        finally:
            _inside.now = False


def _look(told: dict[str, Any], event: str, arguments: tuple[Any, ...]) -> None:
    name = _name(told["below"], event, arguments)
    is_loader = os.getpid() == told["loader"]
    # dbt, too, starts processes: it asks the system about itself.
    if name is None or (event in PROCESSES and not is_loader):
        return
    name = f"{'loader' if is_loader else 'dbt'}: {name}"
    _seen[name] += 1
    kind = "file" if event in CHANGES else "process"
    _note(told["log"], [kind, name, _seen[name]])
    if told.get("at") == [name, _seen[name]]:
        _note(told["log"], MET)
        if told["when"] == "after":
            _do(event, arguments)
        _fault(told, arguments)


def _name(below: str, event: str, arguments: tuple[Any, ...]) -> str | None:
    """Return what is done to which file; None where that is no point."""
    if event in PROCESSES:
        unix = event == "socket.connect" and isinstance(arguments[1], str)
        return PROCESSES[event] if unix or event == "subprocess.Popen" else None
    path = arguments[0]
    if not isinstance(path, str | bytes | os.PathLike) or (event == "open" and not _writes(arguments[2])):
        return None
    whole = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  # an import of pathlib would be one more thing to audit
    if not whole.startswith(below):
        return None
    verb = "temporary file" if event == "open" and arguments[2] & os.O_TMPFILE == os.O_TMPFILE else CHANGES[event]
    return f"{verb} {re.sub(r'-[0-9a-f]{8}', '', whole[len(below) :]).strip('/')}".strip()


def _writes(flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _do(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        os.close(os.open(arguments[0], arguments[2], 0o666))
    elif event == "os.mkdir":
        os.mkdir(arguments[0])  # noqa: PTH102
    elif event == "os.rename":
        os.replace(arguments[0], arguments[1])  # noqa: PTH105
    elif event == "os.remove":
        os.remove(arguments[0])  # noqa: PTH107


def _fault(told: dict[str, Any], arguments: tuple[Any, ...]) -> None:
    if told["fault"] == "loader's disk full":
        fill(told["below"])
    elif told["fault"] == "killed half written":
        size = os.stat(arguments[0]).st_size if arguments[2] & os.O_APPEND else 0  # noqa: PTH116
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + HALF, resource.RLIM_INFINITY))
    elif told["fault"] == "SIGTERM":
        os.kill(told["loader"], signal.SIGTERM)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def _note(log: str, what: Any) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    # On a line of its own: a killed process may have left half a line.
    os.write(file, f"\n{json.dumps(what)}\n".encode())
    os.close(file)


def noted(log: str) -> list[Any]:
    """Return the notes in order: points as kind, name and number, and `MET`; None for an incomplete line."""
    with suppress(FileNotFoundError), open(log) as file:  # noqa: PTH123
        return [_decoded(line) for line in file.read().split("\n")[:-1]]
    return []


def _decoded(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def fill(folder: str) -> None:
    """Leave no byte free in the file system of `folder`, by means of a file ``junk``."""
    file = os.open(os.path.join(folder, "junk"), os.O_WRONLY | os.O_CREAT, 0o666)  # noqa: PTH118
    with suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while os.write(file, bytes(size)) == size:
                    pass
    os.close(file)
