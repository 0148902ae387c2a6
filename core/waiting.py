"""Wait for a condition, and repeat a call while a service does not answer. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from core.errors import TransientError

T = TypeVar("T")


def until(probe: Callable[[], T | None], deadline_s: float, every_s: float, what: str) -> T:
    """Call `probe` every `every_s` until it returns something other than None, and return that.

    Raise `TransientError` naming `what` after `deadline_s`.
    """
    end = time.monotonic() + deadline_s
    while (value := probe()) is None:
        if time.monotonic() > end:
            raise TransientError(f"{what}: not done after {deadline_s:g} s")
        time.sleep(every_s)
    return value


PATIENCE_S = 90.0
"""How long the runners repeat a call that an orchestrator does not answer: its services restart within a minute."""

PAUSE_S = 1.0
"""Between two attempts of such a call."""


def patiently(call: Callable[[], T], patience_s: float) -> T:
    """Return what `call` returns; repeat it while it raises `TransientError`, and after `patience_s` raise that.

    A `call` that creates something must recognize what an earlier attempt created: the answer may have been lost.
    """
    end = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except TransientError:
            if time.monotonic() >= end:
                raise
        time.sleep(PAUSE_S)
