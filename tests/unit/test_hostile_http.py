"""A hostile server: whatever it sends, the result is one clear line, in time and within bounded memory."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.datasets import GREEN
from core.errors import BadFile, PermanentError, SourceUnavailable, TriptychError, printable
from core.extract import extract
from tests.unit.fetching import MONTH, NAME, assert_is, refusal, set_variable

BLOCK = b"x" * 65_536


class Hostile:
    """Sends every client the same bytes, as `answer` yields them, until the client hangs up."""

    def __init__(self, answer: Callable[[], Iterator[bytes]], manifest: bytes) -> None:
        self._answer, self._manifest = answer, manifest
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/x"
        self.requests: list[bytes] = []

    def __enter__(self) -> Hostile:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(30)
                    request = connection.recv(65_536)
                    self.requests.append(request)
                    for piece in [self._manifest] if b"MANIFEST" in request else self._answer():
                        connection.sendall(piece)


ABSENT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextlib.contextmanager
def sending(*pieces: bytes, forever: bytes = b"", manifest: bytes = ABSENT) -> Iterator[Hostile]:
    def answer() -> Iterator[bytes]:
        yield from pieces
        while forever:
            yield forever

    with Hostile(answer, manifest) as server:
        yield server


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *lines, "", ""]).encode("latin-1")


def refused(kind: type[TriptychError], server: Hostile) -> str:
    message = refusal(kind, lambda: extract(GREEN, server.url, MONTH))
    assert server.url.removeprefix("http://") in message and len(message) < 500
    return message


def test_endless_headers_are_refused(home: Path) -> None:
    with sending(b"HTTP/1.1 200 OK\r\n", forever=b"X-Flood: " + b"x" * 1000 + b"\r\n") as server:
        refused(SourceUnavailable, server)


def test_an_endless_body_is_cut_at_the_limit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variable(monkeypatch, "TRIPTYCH_MAX_FILE_MB", "2")
    with sending(head(), forever=BLOCK) as server:
        assert "2 MB is the limit" in refused(BadFile, server)


@pytest.mark.parametrize(
    ("pieces", "forever"),
    [
        pytest.param((), b"HTTP/1.1 103 Early Hints\r\n\r\n", id="interim answers"),
        pytest.param((head("Transfer-Encoding: chunked"),), b"1\r\nx\r\n", id="chunks of one byte"),
    ],
)
def test_an_endless_answer_is_abandoned(
    home: Path, monkeypatch: pytest.MonkeyPatch, pieces: tuple[bytes, ...], forever: bytes
) -> None:
    set_variable(monkeypatch, "TRIPTYCH_DOWNLOAD_S", "0.3")
    with sending(*pieces, forever=forever) as server:
        refused(SourceUnavailable, server)


def test_headers_that_come_letter_by_letter_are_abandoned(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variable(monkeypatch, "TRIPTYCH_DOWNLOAD_S", "0.3")
    pause = threading.Event()

    def answer() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nX-Slow: "
        while not pause.wait(0.01):
            yield b"x"

    with Hostile(answer, ABSENT) as server:
        refused(SourceUnavailable, server)
        pause.set()


# --- compressed without a request -------------------------------------------------------------------------------------

ENCODINGS = ["gzip", "x-gzip", "gzip, gzip", "br", "zstd", "deflate", "x" * 5000, "\x1b[2J"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_compressed_answer_is_refused_and_not_unpacked(home: Path, encoding: str) -> None:
    body = gzip.compress(bytes(100 << 20))
    with sending(head(f"Content-Encoding: {encoding}", f"Content-Length: {len(body)}"), body) as server:
        tracemalloc.start()
        try:
            message = refused(PermanentError, server)
            assert tracemalloc.get_traced_memory()[1] < 20e6
        finally:
            tracemalloc.stop()
    assert f"compressed as {printable(encoding[:50].lower())}" in message
    assert "turn off compression for these files on the server" in message


def test_an_answer_that_two_headers_call_compressed_is_refused(home: Path) -> None:
    with sending(head("Content-Encoding: gzip", "Content-Encoding: gzip"), gzip.compress(b"x")) as server:
        assert "compressed as gzip, gzip" in refused(PermanentError, server)


# --- headers that lie -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", ["9" * 18, "9" * 5000, "-1", "0x10", "٣", "1, 2"])
def test_a_length_that_lies_is_one_clear_line(home: Path, length: str) -> None:
    with sending(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + f"Content-Length: {length}\r\n\r\nx".encode()) as server:
        refused(BadFile if length == "9" * 18 else SourceUnavailable, server)


@pytest.mark.parametrize("etag", ['"é"', '"' + "x" * 5000 + '"', '"\t"', '"', 'W/"x"', "*"])
def test_an_etag_of_any_letters_does_no_harm(home: Path, published: Path, etag: str) -> None:
    content = (published / NAME).read_bytes()
    with sending(head(f"ETag: {etag}", f"Content-Length: {len(content)}"), content) as server:
        # The second request asks whether it is still that version.
        for _ in range(2):
            assert_is(extract(GREEN, server.url, MONTH), published / NAME)


def test_a_rest_whose_size_lies_is_fetched_whole(home: Path, published: Path) -> None:
    content = (published / NAME).read_bytes()
    answers = iter([
        head('ETag: "1"', f"Content-Length: {len(content)}") + content[:-9],
        head('ETag: "1"', f"Content-Range: bytes {len(content) - 9}-1/{'9' * 5000}", status="206 Partial Content")
        + content[-9:],
        head('ETag: "1"', f"Content-Length: {len(content)}") + content,
    ])  # fmt: skip
    with Hostile(lambda: iter([next(answers)]), ABSENT) as server:
        assert_is(extract(GREEN, server.url, MONTH), published / NAME)


@pytest.mark.parametrize(
    "location", ["http://" + "a" * 5000, "http://evil\x1b[2J/", "//", "http://[", "javascript:x", ":" * 3000]
)
def test_a_redirect_to_an_invalid_address_is_one_clear_line(home: Path, location: str) -> None:
    with sending(head(f"Location: {location}", "Content-Length: 0", status="302 Found")) as server:
        with pytest.raises(TriptychError) as caught:
            extract(GREEN, server.url, MONTH)
        message = str(caught.value)
        assert message.isprintable() and len(message) < 500
        # Refused at once, or after the allowed number of redirects within the host.
        assert len(server.requests) in (1, 6)


def test_a_manifest_of_one_long_line_is_one_clear_line(home: Path, published: Path) -> None:
    content = (published / NAME).read_bytes()
    for line in (
        b"x" * 1_000_000,
        b"0" * 64 + b"  \x1b[2J" + b"n" * 900_000 + b"\n" + b"1" * 64 + b"  \x1b[2J" + b"n" * 900_000,
    ):
        lines = head(f"Content-Length: {len(line)}") + line
        with sending(head(f"Content-Length: {len(content)}"), content, manifest=lines) as server:
            refused(BadFile, server)
