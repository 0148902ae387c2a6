"""Faults at chosen points of a run, in a process that is forked from a warm one: that takes some 30 ms, not an import.

A kill point is a statement that is sent to PostgreSQL, a piece of a COPY, or a call of Python's file functions that
leads to a change on disk. Points are not listed anywhere: psycopg's own functions are wrapped, and the interpreter
itself reports every call of a C function (`sys.setprofile`), so that a step that is added to `core` tomorrow is a point
tomorrow. Nothing in `core` knows of this, and only a forked child is ever instrumented.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
from psycopg import sql

from core.errors import TriptychError
from core.settings import ROOT, settings

Hook = Callable[[str, str], None]
"""Called with the point's name, and ``before``, ``after`` or ``failed``."""

READING = frozenset(
    """
    read readinto readline readlines seek tell seekable readable writable isatty fileno __enter__ __iter__
    __next__ getvalue getbuffer _checkClosed _checkReadable _checkSeekable stat lstat fstat fspath scandir
    listdir getpid getppid getcwd urandom uname access readlink get_terminal_size cpu_count sched_getaffinity
    waitpid kill get_inheritable text_encoding getuid geteuid fsencode fsdecode path_isdir path_isfile
    path_exists _path_normpath _path_isdir _path_isfile _path_exists register_at_fork strerror times WIFSTOPPED
    """.split()  # noqa: SIM905  # a list would be 60 lines
)
"""Calls that change nothing on disk: a kill before or after one is a kill after or before its neighbor."""

AS_UNDISTURBED = "as golden"
"""The end of an outcome that equals an undisturbed run's. The words are stored in results/kill_points.json."""

CORE = str(ROOT / "core") + os.sep
HARNESS = (str(ROOT / "benchmarks") + os.sep, str(ROOT / "tests") + os.sep)


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
    """Wrap BEGIN, COMMIT, SAVEPOINT and their kind, which psycopg sends by generators of its own."""

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
    """Return a statement's verb and object on one line, without values, and the same on every run."""
    text = query.as_string(where) if isinstance(query, sql.Composable) else query
    text = " ".join((text.decode() if isinstance(text, bytes) else text).split())
    text = re.sub(r"\(.*|\bVALUES .*|\bWHERE .*|\bSET .*|\bUSING .*", "", text) if len(text) > 60 else text
    text = re.sub(r'"?[\w %]+"?\."?(\w+)"?', r"\1", text) if "pg_" not in text else text
    return re.sub(r"'[^']*'|\b\d{5,}\b|_pg3_\w+", "...", text).replace('"', "").strip()[:70]


# --- files ------------------------------------------------------------------------------------------------------------


_EVENTS = {"c_call": "before", "c_return": "after", "c_exception": "failed"}


@contextmanager
def files(hook: Hook) -> Iterator[None]:
    """Report to `hook` each call of a function that changes files, made by `core` or for it by the standard library."""

    def profile(frame: FrameType, event: str, function: Any) -> None:
        if event in _EVENTS and _changes_files(function) and (place := _place(frame)) is not None:
            hook(f"{function.__name__} in {place}", _EVENTS[event])

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


def _changes_files(function: Any) -> bool:
    if function.__name__ in READING:
        return False
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None) or type(owner).__module__
    return module in ("posix", "io", "_io", "fcntl")


def _place(frame: FrameType | None) -> str | None:
    """Return the function of `core` on whose behalf a call is made; None for an import, and when there is none."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(("<frozen importlib", *HARNESS)):
            return None
        if code.co_filename.startswith(CORE):
            return f"{Path(code.co_filename).stem}.{code.co_name}"
        frame = frame.f_back
    return None


# --- points ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """Where a fault can happen: `kind` is ``statement`` or ``file``; `nth` counts those of one name, from 1."""

    kind: str
    name: str
    nth: int = 1


Moment = tuple[Point, str]
"""A point that begins (``before``) or has ended (``after``), with success or not."""


class Points:
    """The moments of a run, in order. At the moment `at`, `fault` happens, once."""

    def __init__(self, at: Moment | None = None, fault: Callable[[], None] = lambda: None) -> None:
        self.moments: list[Moment] = []
        self._at, self._fault, self._fired = at, fault, False
        self._counts = Counter[tuple[str, str]]()
        # A statement may begin a transaction: then one point lies within another.
        self._open: list[Point] = []
        self._main = threading.get_ident()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Note the moments of the block."""
        with statements(self._hook("statement")), files(self._hook("file")):
            yield

    def _hook(self, kind: str) -> Hook:
        def hook(name: str, when: str) -> None:
            if self._fired or threading.get_ident() != self._main:
                return
            if when == "before":
                self._counts[kind, name] += 1
                self._open.append(Point(kind, name, self._counts[kind, name]))
                moment = self._open[-1], "before"
            else:
                moment = self._open.pop(), "after"
            self.moments.append(moment)
            if moment == self._at:
                # First of all, because what a fault does is no point.
                self._fired = True
                sys.setprofile(None)
                self._fault()

        return hook


# --- one child --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ended:
    """How a child ended (``success``, the class of its error, or the signal), and its message."""

    how: str
    said: str = ""


class Child:
    """A forked process that runs one step and reports how it ended. `step` returns the message of a success.

    The caller must have one thread only: a process with more cannot be forked safely.
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
        """Return how it ended; None while it runs."""
        if self.ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended = self._read(os.waitstatus_to_exitcode(status))
        return self.ended

    def wait(self, timeout_s: float) -> Ended:
        """Wait for the end. A child that takes longer is killed, and has ``hung``."""
        try:
            # A child writes at its end, if at all.
            if self.ended is None and select.select([self._reads], [], [], timeout_s)[0]:
                self.ended = self._read(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))
        finally:
            # The waiting process may be told to end as well.
            if self.ended is None:
                self.kill()
                os.waitpid(self.pid, 0)
                os.close(self._reads)
                self.ended = Ended("hung", f"no end within {timeout_s:g} s")
        return self.ended

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, unless the child has ended."""
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
    """Be the child, to its end. It never returns, because what the parent has open is not the child's to close."""
    try:
        said = f"success\n{step()}"
    except BaseException as error:
        known = isinstance(error, TriptychError | SystemExit)
        said = f"{'' if known else 'unclassified '}{type(error).__name__}\n{error}"
    with suppress(OSError):
        os.write(writes, said.encode()[:60_000])
    os._exit(0)


def enter(dsn: str, home: Path) -> None:
    """Let this process work on `dsn` with the state folder `home`."""
    os.environ |= {"TRIPTYCH_DSN": dsn, "TRIPTYCH_HOME": str(home)}
    settings.cache_clear()
