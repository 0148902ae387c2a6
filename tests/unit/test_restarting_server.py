"""A connection is patient with a server that says that it restarts, and with no other."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest

from core import database
from core.database import connect
from core.errors import DatabaseUnavailable


@contextmanager
def server(answers: list[str]) -> Iterator[tuple[str, list[str]]]:
    """A PostgreSQL that answers each connection with a fatal error; yield its DSN, and the errors that are left."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while answers:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                fields = b"SFATAL\0VFATAL\0C57P03\0M" + answers.pop(0).encode() + b"\0\0"
                connection.sendall(b"E" + struct.pack("!i", 4 + len(fields)) + fields)
        listener.close()

    thread = Thread(target=serve, daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    yield f"postgresql://u@127.0.0.1:{port}/d?sslmode=disable&gssencmode=disable", answers
    thread.join(20)


RESTARTS = ["the database system is shutting down", "the database system is starting up"]


def test_a_server_that_restarts_is_asked_again() -> None:
    with server([*RESTARTS, *RESTARTS, "out of order"]) as (dsn, left):
        with pytest.raises(DatabaseUnavailable, match="out of order"), connect("test", dsn=dsn):
            pass
        assert left == []


def test_the_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "RESTART_S", 0.0)
    monkeypatch.setattr(database, "RESTART_PAUSE_S", 0.01)
    with server(RESTARTS * 2) as (dsn, left):
        with pytest.raises(DatabaseUnavailable, match="the database system is"), connect("test", dsn=dsn):
            pass
        assert left
        while left:
            with pytest.raises(DatabaseUnavailable), connect("test", dsn=dsn):
                pass
