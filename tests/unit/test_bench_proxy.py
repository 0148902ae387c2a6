"""The proxy delays every byte, and changes, loses and reorders none."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.harness.proxy import delayed, proxy

WAIT_S = 30.0


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends back what it gets, and closes its side once the client has closed its own."""

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[:2]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT_S)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)


def receive(connection: socket.socket, length: int) -> bytes:
    found = bytearray()
    while len(found) < length and (data := connection.recv(65_536)):
        found += data
    return bytes(found)


def test_an_answer_takes_two_delays_more(echo: tuple[str, int]) -> None:
    with proxy(echo, 0.05) as port, connected(port) as connection:
        for _ in range(3):
            start = time.monotonic()
            connection.sendall(b"?")
            assert receive(connection, 1) == b"?"
            assert time.monotonic() - start >= 0.1


def test_what_does_not_wait_for_an_answer_is_delayed_once(echo: tuple[str, int]) -> None:
    """As in pipelining: 50 messages in a row take one round trip, not 50."""
    with proxy(echo, 0.1) as port, connected(port) as connection:
        start = time.monotonic()
        for number in range(50):
            connection.sendall(bytes([number]))
            # So that they are 50 chunks.
            time.sleep(0.001)
        assert receive(connection, 50) == bytes(range(50))
        assert 0.2 <= time.monotonic() - start < 5


def test_many_bytes_on_many_connections_arrive_in_order(echo: tuple[str, int]) -> None:
    """More than the window holds, both ways at once."""
    sent = [os.urandom(20_000_000) for _ in range(3)]
    found: dict[int, bytes] = {}

    def take(number: int, connection: socket.socket) -> None:
        # One byte more than was sent, so that it reads to the end.
        found[number] = receive(connection, len(sent[number]) + 1)

    with proxy(echo, 0.001) as port:
        connections = [connected(port) for _ in sent]
        takers = [threading.Thread(target=take, args=pair) for pair in enumerate(connections)]
        givers = [
            threading.Thread(target=lambda c=connection, d=data: (c.sendall(d), c.shutdown(socket.SHUT_WR)))
            for connection, data in zip(connections, sent, strict=True)
        ]
        for thread in (*takers, *givers):
            thread.start()
        for thread in (*takers, *givers):
            thread.join(WAIT_S)
        for connection in connections:
            connection.close()
    assert [found[number] == data for number, data in enumerate(sent)] == [True] * len(sent)


def test_a_server_that_is_not_there_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()[:2]
    with proxy(address, 0) as port, connected(port) as connection:
        assert connection.recv(1) == b""


def test_a_client_that_vanishes_holds_nothing_up(echo: tuple[str, int]) -> None:
    with proxy(echo, 0) as port:
        with connected(port) as gone:
            # The echo is never read.
            gone.sendall(b"x" * 5_000_000)
        with connected(port) as other:
            other.sendall(b"?")
            assert receive(other, 1) == b"?"
    assert [thread for thread in threading.enumerate() if thread.name == "proxy"] == []


def test_the_address_keeps_user_password_and_database(echo: tuple[str, int]) -> None:
    with delayed(f"postgresql://me:p%40ss@{echo[0]}:{echo[1]}/db", 0) as dsn:
        head, _, tail = dsn.rpartition("@")
        assert head == "postgresql://me:p%40ss"
        assert tail.endswith("/db") and tail != f"{echo[0]}:{echo[1]}/db"


def test_a_deaf_proxy_delivers_the_question_and_loses_the_answer() -> None:
    deaf, got = threading.Event(), list[bytes]()

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            got.append(connection.recv(1))
            connection.sendall(b"!")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        with proxy(listener.getsockname()[:2], 0, deaf) as port, connected(port) as connection:
            deaf.set()
            connection.sendall(b"?")
            assert connection.recv(1) == b""
        thread.join(WAIT_S)
    assert got == [b"?"]
