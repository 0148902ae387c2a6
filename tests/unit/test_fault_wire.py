"""The proxy divides streams into PostgreSQL's messages, reports each statement's two moments, and changes no byte."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from core.waiting import until
from tests.faults.wire import NO_TLS, Frames, Link, Wire, message, parameters, text, wire

WAIT_S = 30.0

STARTUP = message(b"", struct.pack("!I", 196608) + b"user\0u\0application_name\0triptych dbt s\0\0")
READY = message(b"Z", b"I")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_messages_are_cut_wherever_the_stream_is(size: int) -> None:
    whole = message(b"Q", b"select 1\0") + message(b"X", b"") + message(b"d", b"x" * 700)
    frames = Frames(typed=True)
    found: list[tuple[bytes, bytes]] = []
    for start in range(0, len(whole), size):
        found += frames.feed(whole[start : start + size])
    assert found == [(b"Q", b"select 1\0"), (b"X", b""), (b"d", b"x" * 700)]
    assert b"".join(message(*each) for each in found) == whole


def test_the_first_messages_of_a_client_have_no_type() -> None:
    ((kind, body),) = Frames(typed=False).feed(STARTUP)
    assert kind == b""
    assert parameters(body) == {"user": "u", "application_name": "triptych dbt s", "": ""}
    assert message(kind, body) == STARTUP


@pytest.mark.parametrize(
    ("kind", "body", "statement"),
    [
        (b"Q", b"select 1\0", "select 1"),
        (b"P", b"name\0select $1\0\0\1", "select $1"),
        (b"S", b"", ""),
    ],
)
def test_the_statement_in_a_message(kind: bytes, body: bytes, statement: str) -> None:
    assert text(kind, body) == statement


class Between:
    """A client and a server, as sockets, and a proxy between them whose hook notes its calls."""

    def __init__(self, proxy: Wire, listener: socket.socket) -> None:
        self.proxy, self.told, self.goes_on = proxy, list[tuple[str, str]](), True
        proxy.hook = self._hook
        self.client = socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S)
        self.turns(lambda: bool(proxy.links))
        self.server, _ = listener.accept()
        self.server.settimeout(WAIT_S)

    def _hook(self, link: Link, statement: str, when: str) -> bool:
        assert link.client == "triptych dbt s"
        self.told.append((statement, when))
        return self.goes_on

    def turns(self, done: Callable[[], bool]) -> None:
        """Lend the proxy this thread until `done`."""

        def turned() -> bool | None:
            self.proxy.turn(0.01)
            return done() or None

        until(turned, WAIT_S, 0.0, "the proxy")

    def passes(self, sender: socket.socket, data: bytes, receiver: socket.socket) -> None:
        """Send `data` from one side; the other one gets it, byte for byte."""
        sender.sendall(data)
        found = bytearray()
        receiver.setblocking(False)

        def arrived() -> bool:
            with suppress(BlockingIOError):
                found.extend(receiver.recv(65_536))
            return len(found) >= len(data)

        self.turns(arrived)
        receiver.settimeout(WAIT_S)
        assert bytes(found) == data

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture
def between() -> Iterator[Between]:
    with socket.create_server(("127.0.0.1", 0)) as listener, wire(listener.getsockname()[:2]) as proxy:
        made = Between(proxy, listener)
        made.client.sendall(struct.pack("!II", 8, NO_TLS))
        made.turns(lambda: True)
        assert made.client.recv(1) == b"N"
        made.passes(made.client, STARTUP, made.server)
        made.passes(made.client, message(b"p", b"secret\0"), made.server)
        made.passes(made.server, message(b"K", struct.pack("!II", 42, 1)) + READY, made.client)
        yield made
        made.close()


def test_each_statement_is_reported_before_and_after(between: Between) -> None:
    between.passes(between.client, message(b"Q", b"select 1\0"), between.server)
    between.passes(between.server, message(b"C", b"SELECT 1\0") + READY, between.client)
    extended = b"".join(
        message(*each)
        for each in ((b"P", b"\0select $1\0\0\0"), (b"B", b"\0"), (b"D", b"P\0"), (b"E", b"\0"), (b"S", b""))
    )
    between.passes(between.client, extended, between.server)
    between.passes(between.server, READY, between.client)
    between.passes(between.client, message(b"Q", b"copy t from stdin\0") + message(b"d", b"a row"), between.server)
    between.passes(between.client, message(b"c", b""), between.server)
    between.passes(between.server, READY, between.client)
    names = ("connect", "select 1", "select $1", "copy t from stdin")
    assert between.told == [(name, when) for name in names for when in ("before", "after")]
    assert between.proxy.links[0].backend == 42


def test_more_than_a_socket_holds_arrives_whole(between: Between) -> None:
    between.client.setblocking(False)
    data, sent, found = message(b"Q", b"x" * 5_000_000 + b"\0"), 0, bytearray()
    between.server.setblocking(False)

    def moved() -> bool:
        nonlocal sent
        for step in ("send", "receive"):
            try:
                if step == "send" and sent < len(data):
                    sent += between.client.send(data[sent:])
                elif step == "receive":
                    found.extend(between.server.recv(65_536))
            except BlockingIOError:
                pass
        return len(found) >= len(data)

    between.turns(moved)
    assert bytes(found) == data


def test_a_statement_that_is_dropped_is_never_sent_and_both_sides_are_closed(between: Between) -> None:
    between.goes_on = False
    between.client.sendall(message(b"Q", b"drop table t\0"))
    between.turns(lambda: not between.proxy.links)
    assert between.server.recv(100) == b""
    assert between.client.recv(100) == b""
    assert between.told[-1] == ("drop table t", "before")


def test_the_end_of_one_side_is_the_end_of_the_other_after_its_last_bytes(between: Between) -> None:
    between.server.sendall(message(b"E", b"FATAL\0"))
    between.server.close()
    between.turns(lambda: not between.proxy.links)
    assert between.client.recv(100) == message(b"E", b"FATAL\0")
    assert between.client.recv(100) == b""


def test_a_client_that_has_gone_while_its_statement_is_held_is_noticed(between: Between) -> None:
    link = between.proxy.links[0]
    assert not link.is_left
    between.client.close()
    until(lambda: link.is_left or None, WAIT_S, 0.001, "the end of the client")


def test_a_server_that_is_not_there_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[:2]
    with wire(nobody) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S) as client:
        proxy.turn(WAIT_S)
        assert client.recv(1) == b""
