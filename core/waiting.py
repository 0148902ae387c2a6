"""Waiting on a condition, and repeating a call that a service does not answer for now. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from core.errors import TransientError

T = TypeVar("T")


def until(probe: Callable[[], T | None], deadline_s: float, every_s: float, what: str) -> T:
    """Call `probe` every `every_s` until it gives something; raise `TransientError` naming `what` after `deadline_s`."""
    end = time.monotonic() + deadline_s
    while (value := probe()) is None:
        if time.monotonic() > end:
            raise TransientError(f"{what}: not done after {deadline_s:g} s")
        time.sleep(every_s)
    return value


PATIENCE_S = 90.0
"""How long the runners repeat a call that a tool does not answer for now: its API or database restarts within a minute."""

PAUSE_S = 1.0
"""Between two attempts of such a call."""


def patiently(call: Callable[[], T], patience_s: float) -> T:
    """Return what `call` returns; repeat it while it raises `TransientError`, and raise the last one after `patience_s`.

    A `call` that creates something must find what an earlier attempt created: its answer may have been lost.
    """
    end = time.monotonic() + patience_s
    while True:
        try:
            return call()
        except TransientError:
            if time.monotonic() >= end:
                raise
        time.sleep(PAUSE_S)
