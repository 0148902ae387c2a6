"""A proxy that knows PostgreSQL's messages and calls a hook before and after each statement that passes through it.

It serves any client in any process: the loader's psycopg and dbt's psycopg2 alike, with nothing changed in either.
Before a statement, none of it has been forwarded; after it, the server has sent ReadyForQuery, which the client has not
yet received. The proxy has no thread of its own: the caller lends it one (`turn`), and what the hook does happens while
the statement is held. TLS is refused.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

CHUNK = 65_536
NO_TLS, NO_GSS, CANCEL = 80877103, 80877104, 80877102
"""Codes of requests that come in place of a startup message."""

BEGINS = b"QPBEDCF"
"""Messages that begin a statement, unless one is under way: query, the extended protocol, function call."""


class Frames:
    """Divide a stream into messages. A client's first ones have no type; theirs is ``b""``."""

    def __init__(self, *, typed: bool) -> None:
        self.typed, self._rest = typed, bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield type and body of each message that is complete now."""
        self._rest += data
        while True:
            head = 1 if self.typed else 0
            if len(self._rest) < head + 4:
                return
            end = head + struct.unpack_from("!I", self._rest, head)[0]
            if len(self._rest) < end:
                return
            kind, body = bytes(self._rest[:head]), bytes(self._rest[head + 4 : end])
            del self._rest[:end]
            yield kind, body


def message(kind: bytes, body: bytes) -> bytes:
    """Return the bytes of a message that `Frames` yielded."""
    return kind + struct.pack("!I", len(body) + 4) + body


def text(kind: bytes, body: bytes) -> str:
    """Return the statement in a query or parse message; an empty text for other messages."""
    if kind == b"Q":
        return body.rstrip(b"\0").decode(errors="replace")
    return body.split(b"\0")[1].decode(errors="replace") if kind == b"P" else ""


def parameters(startup: bytes) -> dict[str, str]:
    """Return the parameters in a startup message's body: user, database, application_name ..."""
    words = startup[4:].decode(errors="replace").split("\0")
    return dict(zip(words[::2], words[1::2], strict=False))


@dataclass(eq=False)
class _Side:
    """One socket of a link, and the bytes that are still to be sent to it."""

    socket: socket.socket
    link: Link
    frames: Frames
    out: bytearray = field(default_factory=bytearray)


Hook = Callable[["Link", str, str], bool]
"""Called with the link, the statement, and ``before`` or ``after``. Returns False if the link is to be dropped."""


class Link:
    """One connection of a client to the server."""

    def __init__(self, near: socket.socket, far: socket.socket) -> None:
        self.client = ""
        """The client's ``application_name``."""
        self.backend = 0
        """The pid of the server's process."""
        self.port = near.getpeername()[1]
        """The client's port."""
        self.statement: str | None = None
        """The statement that is under way."""
        self.near = _Side(near, self, Frames(typed=False))
        self.far = _Side(far, self, Frames(typed=True))

    @property
    def is_open(self) -> bool:
        """Whether neither side has closed."""
        return self.near.socket.fileno() >= 0

    @property
    def is_left(self) -> bool:
        """Whether the client of a held statement has gone or says goodbye: it sends nothing else while it waits."""
        try:
            self.near.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


class Wire:
    """The proxy's port and its links. Without a `hook` everything passes."""

    def __init__(self, to: tuple[str, int]) -> None:
        self._to, self.hook = to, _pass
        self.links: list[Link] = []
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.port: int = self._listener.getsockname()[1]

    def turn(self, wait_s: float = 0.0) -> None:
        """Move the bytes that have arrived; wait up to `wait_s` for some."""
        for key, events in self._selector.select(wait_s):
            side = key.data
            if side is None:
                self._accept()
            elif side.link.is_open and events & selectors.EVENT_WRITE:
                self._send(side)
            elif side.link.is_open:
                self._receive(side)

    def cut(self, link: Link) -> None:
        """Close both sides, whatever is under way."""
        if not link.is_open:
            return
        self.links.remove(link)
        for side in (link.near, link.far):
            self._selector.unregister(side.socket)
            # close() alone is not enough: a forked child may have the socket too.
            with suppress(OSError):
                side.socket.shutdown(socket.SHUT_RDWR)
            side.socket.close()

    def close(self) -> None:
        """Close all links, and stop listening."""
        for link in list(self.links):
            self.cut(link)
        self._selector.close()
        self._listener.close()

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        try:
            far = socket.create_connection(self._to)
        except OSError:
            # The server refused the connection or is gone, so we refuse it too.
            near.close()
            return
        link = Link(near, far)
        self.links.append(link)
        for side in (link.near, link.far):
            side.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            side.socket.setblocking(False)
            self._selector.register(side.socket, selectors.EVENT_READ, side)

    def _receive(self, side: _Side) -> None:
        link = side.link
        try:
            data = side.socket.recv(CHUNK)
        except OSError:
            data = b""
        take = self._from_client if side is link.near else self._from_server
        for kind, body in side.frames.feed(data):
            if not take(link, kind, body):
                self.cut(link)
                return
        if not data:
            self._flush(link.far if side is link.near else link.near)
            self.cut(link)

    def _from_client(self, link: Link, kind: bytes, body: bytes) -> bool:
        code = struct.unpack_from("!I", body)[0] if not kind else 0
        if code in (NO_TLS, NO_GSS):
            self._put(link.near, b"N")
            return True
        if not kind and code != CANCEL:
            link.client, link.near.frames.typed = parameters(body).get("application_name", ""), True
            link.statement = "connect"
        elif kind and kind in BEGINS and link.statement is None:
            link.statement = text(kind, body)
        elif kind == b"X":
            link.statement = "close"
        else:
            # Part of the statement under way (other messages, the data of a COPY), or a password.
            self._put(link.far, message(kind, body))
            return True
        if not self.hook(link, link.statement, "before"):
            return False
        self._put(link.far, message(kind, body))
        return True

    def _from_server(self, link: Link, kind: bytes, body: bytes) -> bool:
        if kind == b"K":
            link.backend = struct.unpack_from("!I", body)[0]
        if kind == b"Z" and link.statement is not None:
            statement, link.statement = link.statement, None
            if not self.hook(link, statement, "after"):
                return False
        self._put(link.near, message(kind, body))
        return True

    def _put(self, side: _Side, data: bytes) -> None:
        if side.link.is_open:
            side.out += data
            self._send(side)

    def _send(self, side: _Side) -> None:
        with suppress(BlockingIOError):
            try:
                while side.out:
                    del side.out[: side.socket.send(side.out)]
            except BlockingIOError:
                raise
            except OSError:
                # The receiver is gone, which reading from it will report as well.
                side.out.clear()
        waiting = selectors.EVENT_WRITE if side.out else 0
        self._selector.modify(side.socket, selectors.EVENT_READ | waiting, side)

    @staticmethod
    def _flush(side: _Side) -> None:
        """Send the last bytes: they are few, and the other side waits for them."""
        with suppress(OSError):
            side.socket.setblocking(True)
            side.socket.settimeout(5.0)
            side.socket.sendall(side.out)


def _pass(link: Link, statement: str, when: str) -> bool:
    return True


@contextmanager
def wire(to: tuple[str, int]) -> Iterator[Wire]:
    """Run a proxy to a server until the block ends."""
    made = Wire(to)
    try:
        yield made
    finally:
        made.close()
