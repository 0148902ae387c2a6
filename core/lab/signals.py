"""Ctrl-C, SIGTERM and SIGHUP as one exception, so that a command ends what it started."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to end. `code` is the exit code that a shell expects: 128 plus the signal's number.

    It is a KeyboardInterrupt because callers such as a test runner know that one, and end on it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` on the first SIGINT, SIGTERM or SIGHUP, and ignore further ones during the cleanup.

    A handler also gives children the default action back: a shell ignores SIGINT for what it starts in the background,
    and services that inherit that cannot be stopped. Must be entered in the main thread.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        for each in ENDING:
            signal.signal(each, lambda *_: None)
        raise Interrupted(number)

    before: dict[signal.Signals, Any] = {each: signal.signal(each, handle) for each in ENDING}
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)
