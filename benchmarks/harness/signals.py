"""What a program does when it is told to end, so that it leaves no server and no mounted file system behind."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INSIST_S = 5.0
"""A signal that follows another one this soon is a copy: a process group gets one, and the runner sends another."""


@contextmanager
def exits_on(*numbers: int) -> Iterator[None]:
    """Raise SystemExit in the block when one of these signals comes, so that every `finally` runs.

    Copies are ignored, because they would interrupt what the `finally` blocks do. A later signal raises again: Python
    discards an exception that is raised inside a hook of fork().
    """
    told = float("-inf")

    def leave(number: int, _: FrameType | None) -> None:
        nonlocal told
        if time.monotonic() - told > INSIST_S:
            told = time.monotonic()
            sys.exit(signal.Signals(number).name)

    before = [(number, signal.signal(number, leave)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
