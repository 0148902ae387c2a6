"""Loaders that are forked from a warm process, each one's statements reported: some 30 ms a loader, not an import.

psycopg's own functions are wrapped, so nothing in `core` knows of this, and a statement that is added there tomorrow is
reported tomorrow. Only a forked child is ever instrumented.
"""

from __future__ import annotations

import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from core.errors import TriptychError
from core.settings import settings

Hook = Callable[[str, str], None]
"""Called with the point's name, and ``before``, ``after`` or ``failed``."""

# --- statements -----------------------------------------------------------------------------------------------------


@contextmanager
def statements(hook: Hook) -> Iterator[None]:
    """Report every connection, statement, piece of a COPY and end of a transaction of this process to `hook`."""
    with ExitStack() as stack:
        _wrap(stack, psycopg.Cursor, "execute", hook, lambda cursor, query, *_, **__: statement(cursor, query))
        _wrap(stack, psycopg.Cursor, "executemany", hook, lambda cursor, query, *_, **__: statement(cursor, query))
        _wrap(stack, psycopg.Copy, "write", hook, lambda *_, **__: "COPY: a piece")
        _wrap(stack, psycopg.Copy, "finish", hook, lambda *_, **__: "COPY: its end")
        _wrap(stack, psycopg.Connection, "close", hook, lambda *_, **__: "close")
        copy = psycopg.Cursor.copy
        stack.enter_context(_replaced(psycopg.Cursor, "copy", _copy(copy, hook)))
        command = psycopg.Connection._exec_command
        stack.enter_context(_replaced(psycopg.Connection, "_exec_command", _command(command, hook)))
        connect = psycopg.connect
        stack.enter_context(_replaced(psycopg, "connect", _around(connect, hook, lambda *_, **__: "connect")))
        yield


def _wrap(stack: ExitStack, owner: type, name: str, hook: Hook, title: Callable[..., str]) -> None:
    stack.enter_context(_replaced(owner, name, _around(getattr(owner, name), hook, title)))


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _around(function: Callable[..., Any], hook: Hook, title: Callable[..., str]) -> Callable[..., Any]:
    @wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        name = title(*arguments, **named)
        hook(name, "before")
        try:
            result = function(*arguments, **named)
        except BaseException:
            hook(name, "failed")
            raise
        hook(name, "after")
        return result

    return wrapped


def _copy(function: Callable[..., Any], hook: Hook) -> Callable[..., Any]:
    @contextmanager
    def copy(cursor: Any, query: Any, *rest: Any, **named: Any) -> Iterator[Any]:
        name = statement(cursor, query)
        hook(name, "before")
        with ExitStack() as stack:
            try:
                made = stack.enter_context(function(cursor, query, *rest, **named))
            except BaseException:
                hook(name, "failed")
                raise
            hook(name, "after")
            yield made

    return copy


def _command(function: Callable[..., Any], hook: Hook) -> Callable[..., Any]:
    """BEGIN, COMMIT, SAVEPOINT and their kind: psycopg sends them as generators of its own."""

    def command(connection: Any, query: Any, *rest: Any, **named: Any) -> Any:
        name = statement(connection, query)
        hook(name, "before")
        try:
            result = yield from function(connection, query, *rest, **named)
        except BaseException:
            hook(name, "failed")
            raise
        hook(name, "after")
        return result

    return command


def statement(where: Any, query: Any) -> str:
    """A statement's verb and what it is about, on one line: without values, and the same on every run."""
    text = query.as_string(where) if isinstance(query, sql.Composable) else query
    text = " ".join((text.decode() if isinstance(text, bytes) else text).split())
    text = re.sub(r"\(.*|\bVALUES .*|\bWHERE .*|\bSET .*|\bUSING .*", "", text) if len(text) > 60 else text
    text = re.sub(r'"?[\w %]+"?\."?(\w+)"?', r"\1", text) if "pg_" not in text else text
    return re.sub(r"'[^']*'|\b\d{5,}\b|_pg3_\w+", "...", text).replace('"', "").strip()[:70]


# --- one child --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """How a child ended: ``success``, the class of its error, or the signal; and what it said."""

    how: str
    said: str = ""


class Child:
    """A forked process that runs one step, and says how it ended. `step` gives what is said on success.

    The caller has one thread: what has more can't be forked safely.
    """

    def __init__(self, step: Callable[[], str]) -> None:
        self._reads, writes = os.pipe()
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            _run(step, writes)
        os.close(writes)
        self.ended: Ended | None = None

    def poll(self) -> Ended | None:
        """How it ended; None while it runs."""
        if self.ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended = self._read(os.waitstatus_to_exitcode(status))
        return self.ended

    def wait(self, timeout_s: float) -> Ended:
        """Wait for the end; one that takes longer is killed, and ``hung``."""
        # EOF of the pipe is the end, or nearly: a grandchild that keeps it open does not end us
        deadline = time.monotonic() + timeout_s
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                os.waitpid(self.pid, 0)
                os.close(self._reads)
                self.ended = Ended("hung", f"no end within {timeout_s:g} s")
                break
            time.sleep(0.0005)
        assert self.ended is not None
        return self.ended

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; nothing if it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def _read(self, code: int) -> Ended:
        ready, _, _ = select.select([self._reads], [], [], 0)
        text = os.read(self._reads, 65_536).decode() if ready else ""
        os.close(self._reads)
        how, _, said = text.partition("\n")
        if code < 0:
            return Ended(signal.Signals(-code).name)
        return Ended(how or f"exit code {code}", said)


def _run(step: Callable[[], str], writes: int) -> None:
    """The child's whole life. It never returns: what the parent has open is not the child's to close."""
    try:
        said = f"success\n{step()}"
    except BaseException as error:
        known = isinstance(error, TriptychError | SystemExit)
        said = f"{'' if known else 'unclassified '}{type(error).__name__}\n{error}"
    with suppress(OSError):
        os.write(writes, said.encode()[:60_000])
    os._exit(0)


def enter(dsn: str, home: Path) -> None:
    """Make this process one that works on `dsn` with the state folder `home`."""
    os.environ |= {"TRIPTYCH_DSN": dsn, "TRIPTYCH_HOME": str(home)}
    settings.cache_clear()
