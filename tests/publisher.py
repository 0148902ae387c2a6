"""A substitute for the publisher's web site: a folder of files on a loopback port, with faults on demand.

    with Publisher(folder) as publisher:
        publisher.fail("2024-01", 503)                  # once, then the file
        ... --source publisher.url ...
        assert publisher.count("2024-01") == 2

It behaves as the real site does: trips are under ``/trip-data/`` and the zone lookup under ``/misc/``, each with a
manifest beside it; a missing file is a 403; ETag, Last-Modified, conditional requests (304) and ranges (206, 416) work.
A file is named here by its month, or by the last part of its path; faults are requested by that name, and happen one
after the other.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from trustme import LeafCert

ZONES = "taxi_zone_lookup.csv"
MANIFEST = "MANIFEST.sha256"

HTML_ERROR_PAGE = b"<!DOCTYPE html>\n<html><title>Sorry</title><body>Please try again later.</body></html>\n"
"""A page that some proxies send with status 200 in place of a file."""

FORBIDDEN = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'

DEADLINE_S = 30.0
"""A transfer that is held back and never released is cut after this time, so that a failing test does not hang."""


def lfs_pointer(content: bytes) -> bytes:
    """Return what Git LFS leaves in place of `content` when the real file was not fetched."""
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n".encode()


@dataclass(frozen=True)
class Request:
    """A request that was answered; `status` is the answer's."""

    method: str
    name: str
    status: int
    headers: Mapping[str, str]


class Stall:
    """A transfer that stops in the middle: then `reached` is set, and `release` lets it go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._go = threading.Event()

    def release(self) -> None:
        """Let the rest of the file through."""
        self._go.set()

    def hold(self) -> bool:
        """Wait in the middle of the transfer; return whether to go on."""
        self.reached.set()
        return self._go.wait(DEADLINE_S)


class _Meeting:
    """Transfers that go on once all of them are under way at the same time."""

    def __init__(self, parties: int) -> None:
        self._parties, self._waiting, self._met = parties, 0, False
        self._change = threading.Condition()

    def hold(self) -> bool:
        """Wait in the middle of each transfer; return whether to go on."""
        with self._change:
            self._waiting += 1
            self._met = self._met or self._waiting == self._parties
            self._change.notify_all()
            met = self._change.wait_for(lambda: self._met, DEADLINE_S)
            self._waiting -= 1
            return met


@dataclass
class _Fault:
    """What happens to the next `times` requests for a file (None: to all of them)."""

    times: int | None
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    hold: Callable[[], bool] | None = None
    drip: bool = False


@dataclass(frozen=True)
class _Manner:
    """How a file is served: with which ETag, and whether in ranges."""

    etag: str = "{}"
    ranges: bool = True


def _file_name(name: str) -> str:
    return f"green_tripdata_{name}.parquet" if re.fullmatch(r"\d{4}-\d{2}", name) else name


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Show every error except a client that goes away, or that does not trust us."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Publisher:
    """The web site over `folder`. Entering the context starts it, leaving ends it; `url` is a value for ``--source``.

    With a certificate it uses TLS.
    """

    def __init__(self, folder: Path, certificate: LeafCert | None = None) -> None:
        self._folder = folder
        self._scheme = "https" if certificate else "http"
        self._faults: defaultdict[str, deque[_Fault]] = defaultdict(deque)
        self._manners: dict[str, _Manner] = {}
        self._requests: list[Request] = []
        self.leaving = threading.Event()
        self._lock = threading.Lock()
        self._stalls: list[Stall] = []
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": self}))
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="publisher")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leaving.set()
        for stall in self._stalls:
            stall.release()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The prefix of the months' addresses."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}/trip-data"

    # ------------------------------------------------ faults

    def fail(
        self, name: str, status: int, *, times: int | None = 1, retry_after_s: int | None = None, retry_after: str = ""
    ) -> None:
        """Answer the next `times` requests (None: all) with `status` and no file: 503, or 429 with Retry-After."""
        asked = retry_after if retry_after_s is None else str(retry_after_s)
        headers = {"Retry-After": asked} if asked else {}
        self._add(name, _Fault(times, status=status, headers=headers, body=b"not now\n"))

    def send(self, name: str, body: bytes, *, times: int | None = 1) -> None:
        """Answer with `body` and status 200, whatever the file holds: an error page, an LFS pointer, half a file."""
        self._add(name, _Fault(times, status=200, body=body))

    def page(self, name: str) -> None:
        """Answer every request with a web page and status 200."""
        self.send(name, HTML_ERROR_PAGE, times=None)

    def cut(self, name: str, *, times: int | None = 1) -> None:
        """Promise the whole file, send half of it, and close the connection."""
        self._add(name, _Fault(times, hold=lambda: False))

    def stall(self, name: str, *, times: int | None = 1) -> Stall:
        """Send half of the file to the next requests, then nothing until the returned stall is released."""
        stall = Stall()
        self._stalls.append(stall)
        self._add(name, _Fault(times, hold=stall.hold))
        return stall

    def drip(self, name: str) -> None:
        """Send a few bytes at a time, too often for a read time-out to notice, and never the whole file."""
        self._add(name, _Fault(None, drip=True))

    def redirect(self, name: str, location: str, *, times: int | None = 1) -> None:
        """Answer the next `times` requests (None: all) with a 302 to `location`."""
        self._add(name, _Fault(times, status=302, headers={"Location": location}))

    def serve(self, name: str, *, etag: str = "{}", ranges: bool = True) -> None:
        """Serve a file differently from now on: with an ETag as `etag` formats it (empty: none), or without ranges."""
        self._manners[_file_name(name)] = _Manner(etag, ranges)

    def release_together(self, names: Collection[str]) -> None:
        """Send half of each file, and the rest once all are under way: who asks for one at a time gets none."""
        meeting = _Meeting(len(names))
        for name in names:
            self._add(name, _Fault(None, hold=meeting.hold))

    def clear(self, name: str) -> None:
        """Forget the faults of `name` that have not happened yet."""
        with self._lock:
            self._faults.pop(_file_name(name), None)

    def replace(self, name: str, content: bytes) -> None:
        """Publish other bytes under the same name atomically, with a later Last-Modified."""
        path = self._folder / _file_name(name)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_bytes(content)
        # Last-Modified has whole seconds: two files of the same second would look the same.
        if path.exists():
            later = path.stat().st_mtime + 2
            os.utime(temporary, (later, later))
        temporary.replace(path)

    def _add(self, name: str, fault: _Fault) -> None:
        with self._lock:
            self._faults[_file_name(name)].append(fault)

    # ------------------------------------------------ requests

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order in which their answers began."""
        with self._lock:
            return list(self._requests)

    def count(self, name: str, status: int | None = None) -> int:
        """Return how many requests for `name` there were; with `status`, how many of them got that answer."""
        return sum(r.name == _file_name(name) and status in (None, r.status) for r in self.requests)

    # ------------------------------------------------ for the handler

    def next_fault(self, name: str) -> _Fault | None:
        """Return the fault that the current request meets."""
        with self._lock:
            waiting = self._faults[name]
            if not waiting:
                return None
            fault = waiting[0]
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    waiting.popleft()
            return fault

    def manner(self, name: str) -> _Manner:
        """Return how the file is served."""
        return self._manners.get(name, _Manner())

    def read(self, directory: str, name: str) -> tuple[bytes, float] | None:
        """Return a published file's bytes and modification time; None when there is no such file."""
        path = self._folder / name
        there = {ZONES: ("misc",), MANIFEST: ("misc", "trip-data")}.get(name, ("trip-data",))
        if directory not in there or not path.is_file():
            return None
        return path.read_bytes(), path.stat().st_mtime

    def note(self, request: Request) -> None:
        """Remember a request."""
        with self._lock:
            self._requests.append(request)


class _Handler(BaseHTTPRequestHandler):
    site: Publisher
    protocol_version = "HTTP/1.1"
    timeout = DEADLINE_S

    def do_GET(self) -> None:
        with self._hang_ups_ignored():
            self._respond()

    def do_HEAD(self) -> None:
        with self._hang_ups_ignored():
            self._respond()

    def _respond(self) -> None:
        match = re.fullmatch(r"/(?:([\w-]+)/)?([\w.-]+)", self.path.partition("?")[0])
        directory, self.name = (match[1] or "", match[2]) if match else ("", self.path)
        fault = self.site.next_fault(self.name)
        if fault is not None and fault.status is not None:
            self._send(fault.status, fault.body or b"", fault.headers)
            return
        found = self.site.read(directory, self.name)
        if found is None:
            self._send(403, FORBIDDEN, {"Content-Type": "application/xml"})
            return
        self._send_file(*found, fault)

    def _send_file(self, content: bytes, modified: float, fault: _Fault | None) -> None:
        manner = self.site.manner(self.name)
        etag = manner.etag.format(f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"')
        headers = {"Last-Modified": formatdate(modified, usegmt=True)} | ({"ETag": etag} if etag else {})
        wanted = self._range(len(content), etag) if manner.ranges else None
        if self._is_unchanged(etag, modified):
            self._send(304, b"", headers)
        elif wanted is None:
            self._send(200, content, headers, fault)
        elif wanted[0] >= len(content):
            self._send(416, b"", {**headers, "Content-Range": f"bytes */{len(content)}"})
        else:
            first, last = wanted
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self._send(206, content[first : last + 1], headers, fault)

    def _is_unchanged(self, etag: str, modified: float) -> bool:
        known, since = self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")
        # It takes precedence over the date: RFC 9110, 13.2.2.
        if known is not None:
            return known.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in known.split(","))
        return since is not None and int(modified) <= parsedate_to_datetime(since).timestamp()

    def _range(self, size: int, etag: str) -> tuple[int, int] | None:
        """Return the first and the last requested byte; None for the whole file."""
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if match is None or match[0] == "bytes=-" or self.headers.get("If-Range", etag) != etag:
            return None
        if not match[1]:
            return max(0, size - int(match[2])), size - 1
        return int(match[1]), min(size - 1, int(match[2])) if match[2] else size - 1

    def _send(self, status: int, body: bytes, headers: Mapping[str, str], fault: _Fault | None = None) -> None:
        self.site.note(Request(self.command, self.name, status, dict(self.headers.items())))
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD" or status == 304:
            return
        half = len(body) // 2 if fault is not None else len(body)
        if fault is not None and fault.drip:
            self._drip(body)
            return
        self.wfile.write(body[:half])
        if fault is None or fault.hold is None or fault.hold():
            self.wfile.write(body[half:])
        else:
            self.close_connection = True

    def _drip(self, body: bytes) -> None:
        self.close_connection = True
        for place in range(len(body) - 1):
            self.wfile.write(body[place : place + 1])
            if self.site.leaving.wait(0.01):
                return

    @contextmanager
    def _hang_ups_ignored(self) -> Iterator[None]:
        try:
            yield
        except ConnectionError:
            # The client went away. The test looks at what it reports.
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: `Publisher.requests` is the log."""
