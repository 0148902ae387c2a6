"""What a command writes down for other commands: that it uses a service, starts it, or has ended everything.

A notice is a file with the identity of its author. A command that is killed leaves its notices behind; their author
then no longer lives, and they mean nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from core.lab.identity import Identity
from core.lab.protocol import write_json
from core.settings import private
from core.waiting import until

_DOWN = "down"
_STARTING = "starting"

DOWN_S = 120.0
"""How long a command waits for ``triptych down``: some services take 12 s to end, PostgreSQL up to 40 s."""


def post(path: Path, what: str) -> None:
    """Write a notice that this process does `what`."""
    private(path.parent)
    write_json(path, asdict(Identity.of(what, os.getpid())))


def _read(path: Path) -> Identity | None:
    """Return the author, dead or alive; None when there is no notice, or a torn one."""
    try:
        return Identity(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def author(path: Path) -> Identity | None:
    """Return the author of a notice if it lives."""
    found = _read(path)
    return found if found and found.process() else None


# --- a service is started


@contextmanager
def starting(folder: Path) -> Iterator[None]:
    """Tell other commands that this process starts the service of `folder`."""
    post(folder / _STARTING, "starts it")
    try:
        yield
    finally:
        (folder / _STARTING).unlink(missing_ok=True)


def starter(folder: Path) -> Identity | None:
    """Return the process that starts the service of `folder`."""
    return author(folder / _STARTING)


def starting_for(folder: Path) -> float:
    """Return for how many seconds it has been doing so."""
    with suppress(FileNotFoundError):
        return max(0.0, time.time() - (folder / _STARTING).stat().st_mtime)
    return 0.0


# --- everything is ended


@contextmanager
def ending(home: Path) -> Iterator[None]:
    """Tell all commands that this process ends what runs in the state folder `home`; it may delete the folder."""
    if home.exists():
        post(home / _DOWN, "ends all")
    yield
    if home.exists():
        post(home / _DOWN, "has ended all")


def last_down(home: Path) -> Identity | None:
    """Return the process that was the last one to end everything, or does so now."""
    return _read(home / _DOWN)


def being_ended(home: Path) -> Identity | None:
    """Return the process that is ending everything now."""
    found = author(home / _DOWN)
    return found if found and found.name == "ends all" else None


def wait_for_down(home: Path, say: Callable[[str], None]) -> None:
    """Wait for the end of a `triptych down`, which would end what is started now."""
    if by := being_ended(home):
        say(f"waiting for `triptych down` (pid {by.pid})")
        until(lambda: None if being_ended(home) else True, DOWN_S, 0.05, f"`triptych down` (pid {by.pid})")
