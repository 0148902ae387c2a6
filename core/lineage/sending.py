"""Sending a step's events from a thread of its own, so that nothing waits for an endpoint while rows are loaded."""

from __future__ import annotations

import logging
from queue import SimpleQueue
from threading import Thread

from core.errors import masked, printable
from core.lineage.facts import Facts
from core.settings import settings

_log = logging.getLogger(__name__)


class Sending:
    """The events of one step on their way. What goes wrong becomes one warning, and never an error.

    A daemon thread: a process that ends does not wait for it.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Facts | None] = SimpleQueue()
        self._fault: str | None = None
        self._thread = Thread(target=self._send, name="lineage", daemon=True)
        self._thread.start()

    def put(self, facts: Facts) -> None:
        """Send an event, after those before it."""
        self._queue.put(facts)

    def close(self) -> None:
        """Wait until all is sent, for `Settings.lineage_s` at most; log a warning if something was not."""
        self._queue.put(None)
        self._thread.join(settings().lineage_s)
        if self._thread.is_alive():
            self._fault = f"not sent within {settings().lineage_s:g} s (TRIPTYCH_LINEAGE_S)"
        if self._fault:
            _log.warning("lineage: %s; the step is not affected", self._fault)

    def _send(self) -> None:
        try:
            # Here and not at the top: it costs 0.5 CPU s, and few runs send events.
            from core.lineage import events

            client = events.client()
            while facts := self._queue.get():
                client.emit(events.event(facts))
            client.close(settings().lineage_s)
        except Exception as error:
            # Anything: a transport is a user's choice, with libraries and errors of its own.
            self._fault = f"an event was not sent: {printable(masked(' '.join(str(error).split())))[:300]}"
