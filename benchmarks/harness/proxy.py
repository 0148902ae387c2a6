"""A TCP proxy that is as far away as you like: every byte arrives one delay later than it would without it.

Delay and nothing else: no loss, no jitter, no limit on bandwidth. Bytes keep their order, and as many as `WINDOW` chunks
are under way in each direction at a time; then the sender waits, as it does when a TCP window is full. Threads, because a
thread sleeps to within 0.1 ms, where an event loop rounds up to a whole one, as much as the delay itself.

Once `deaf` is set, the first answer that comes back is dropped, and its connection cut: the question did arrive.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

CHUNK = 65_536
WINDOW = 256
"""Chunks under way: 16 MB, more than one COPY of a month. A smaller one would measure the window, not the round trip."""


@contextmanager
def delayed(dsn: str, one_way_s: float) -> Iterator[str]:
    """A DSN (an address ``postgresql://...``) that leads to the same server, `one_way_s` farther away in each direction."""
    with proxy(server_of(dsn), one_way_s) as port:
        yield led_through(port, dsn)


def server_of(dsn: str) -> tuple[str, int]:
    """Host and port in an address ``postgresql://...``."""
    parts = urlsplit(dsn)
    assert parts.hostname and parts.port, "the benchmark's own server has an address with a port"
    return parts.hostname, parts.port


def led_through(port: int, dsn: str) -> str:
    """The address `dsn` by way of a port of this machine."""
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()


@contextmanager
def proxy(to: tuple[str, int], one_way_s: float, deaf: threading.Event | None = None) -> Iterator[int]:
    """Listen on a port of 127.0.0.1 and give it. On the way out, cut what is still connected, and end every thread."""
    links: list[_Link] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = _started(lambda: _accept(listener, to, one_way_s, links, deaf or threading.Event()))
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # close() alone would leave accept() waiting
            accepting.join()
            for link in links:
                link.cut()


def _accept(
    listener: socket.socket, to: tuple[str, int], one_way_s: float, links: list[_Link], deaf: threading.Event
) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:  # shut down: the end
            return
        try:
            far = socket.create_connection(to)
        except OSError:
            near.close()  # as the server did: refused, or gone
            continue
        links.append(_Link(near, far, one_way_s, deaf))


class _Link:
    """One connection: two sockets, and a pump for each direction."""

    def __init__(self, near: socket.socket, far: socket.socket, one_way_s: float, deaf: threading.Event) -> None:
        self._sockets = (near, far)
        for each in self._sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pumps = [
            _started(lambda: _pump(near, far, one_way_s, threading.Event())),
            _started(lambda: _pump(far, near, one_way_s, deaf)),
        ]

    def cut(self) -> None:
        """End both directions, whatever is under way."""
        for each in self._sockets:
            _shut(each, socket.SHUT_RDWR)
        for pump in self._pumps:
            pump.join()
        for each in self._sockets:
            each.close()


def _pump(source: socket.socket, sink: socket.socket, one_way_s: float, deaf: threading.Event) -> None:
    """Receive, and let a second thread deliver: what is sent meanwhile travels behind it, not after it.

    When `deaf` is set, what is received then is dropped, and both sides are cut.
    """
    under_way: queue.Queue[tuple[float, bytes]] = queue.Queue(WINDOW)
    delivering = _started(lambda: _deliver(under_way, source, sink))
    chunk = b"-"
    while chunk:
        try:
            chunk = source.recv(CHUNK)
        except OSError:
            chunk = b""
        if deaf.is_set():
            chunk = b""
            for each in (source, sink):
                _shut(each, socket.SHUT_RDWR)
        under_way.put((time.monotonic() + one_way_s, chunk))
    delivering.join()


def _deliver(under_way: queue.Queue[tuple[float, bytes]], source: socket.socket, sink: socket.socket) -> None:
    while True:
        due, chunk = under_way.get()
        time.sleep(max(0.0, due - time.monotonic()))
        if not chunk:
            _shut(sink, socket.SHUT_WR)  # the other direction may go on
            return
        try:
            sink.sendall(chunk)
        except OSError:
            _shut(source, socket.SHUT_RD)  # nobody is there: the sender learns it, and the rest is taken and dropped


def _shut(each: socket.socket, how: int) -> None:
    with suppress(OSError):  # it is gone already
        each.shutdown(how)


def _started(step: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=step, name="proxy", daemon=True)
    thread.start()
    return thread
