"""A TCP proxy that simulates distance: every byte arrives one delay later than it would without the proxy.

It adds delay and nothing else: no loss, no jitter, no limit on bandwidth. Bytes keep their order, and up to `WINDOW`
chunks are under way in each direction; then the sender waits, as it does when a TCP window is full. It uses threads,
because a thread sleeps to within 0.1 ms, where an event loop rounds up to a whole millisecond: as much as the delay
itself.

Once `deaf` is set, the first answer that comes back is dropped and its connection cut, although the question did
arrive.
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
"""Chunks under way: 16 MB, more than one COPY of a month. With a smaller window, that would be measured."""


@contextmanager
def delayed(dsn: str, one_way_s: float) -> Iterator[str]:
    """Yield a DSN that leads to the same server (``postgresql://...``), `one_way_s` farther away in each direction."""
    with proxy(server_of(dsn), one_way_s) as port:
        yield led_through(port, dsn)


def server_of(dsn: str) -> tuple[str, int]:
    """Return host and port of a DSN ``postgresql://...``."""
    parts = urlsplit(dsn)
    assert parts.hostname and parts.port, "the DSN of the benchmark's own server names a host and a port"
    return parts.hostname, parts.port


def led_through(port: int, dsn: str) -> str:
    """Return `dsn` with its host and port replaced by a port of this machine."""
    parts = urlsplit(dsn)
    return parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}").geturl()


@contextmanager
def proxy(to: tuple[str, int], one_way_s: float, deaf: threading.Event | None = None) -> Iterator[int]:
    """Listen on a port of 127.0.0.1; yield it. At the end, cut what is still connected and stop every thread."""
    links: list[_Link] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = _started(lambda: _accept(listener, to, one_way_s, links, deaf or threading.Event()))
        try:
            yield listener.getsockname()[1]
        finally:
            # close() alone would leave accept() waiting.
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for link in links:
                link.cut()


def _accept(
    listener: socket.socket, to: tuple[str, int], one_way_s: float, links: list[_Link], deaf: threading.Event
) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            # The listener was shut down.
            return
        try:
            far = socket.create_connection(to)
        except OSError:
            # The server refused the connection or is gone, so we refuse it too.
            near.close()
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
        """Cut both directions, whatever is under way."""
        for each in self._sockets:
            _shut(each, socket.SHUT_RDWR)
        for pump in self._pumps:
            pump.join()
        for each in self._sockets:
            each.close()


def _pump(source: socket.socket, sink: socket.socket, one_way_s: float, deaf: threading.Event) -> None:
    """Receive, and let a second thread deliver, so that chunks travel at the same time and not one after the other.

    Once `deaf` is set, the next chunk is dropped and both sides are cut.
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
            # The other direction may go on.
            _shut(sink, socket.SHUT_WR)
            return
        try:
            sink.sendall(chunk)
        except OSError:
            # The receiver is gone. The sender finds out; the rest is read and dropped.
            _shut(source, socket.SHUT_RD)


def _shut(each: socket.socket, how: int) -> None:
    # The socket may be gone already.
    with suppress(OSError):
        each.shutdown(how)


def _started(step: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=step, name="proxy", daemon=True)
    thread.start()
    return thread
