"""An http(s) prefix as a source."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from core.errors import NotPublished, PermanentError, SourceUnavailable, UsageError, quoted
from core.extract.source import Answer, Rest, bad_status, no_such_name, scheme_of, strong, untrusted
from core.settings import settings

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
"""Seconds between two bytes, not for the whole file, whose limit is `Settings.download_s`."""

REDIRECTS = 5
"""How many redirects one request may follow, within its own host."""


class Web:
    """An http(s) prefix. No request leaves its host, or https for http."""

    def __init__(self, prefix: httpx.URL, client: httpx.Client) -> None:
        self._prefix, self._client = prefix, client
        self._socket: socket.socket | None = None
        self._peer = prefix.netloc.decode()
        """Where the last connection goes: to the source's host, or to a proxy."""

    def address(self, path: str) -> str:
        """See `Source`."""
        return str(self._prefix.join(path))

    @contextlib.contextmanager
    def get(self, path: str, unless: str | None, rest: Rest | None) -> Iterator[Answer]:
        """See `Source`."""
        url = self.address(path)
        # A range counts the bytes that are sent, and so does our digest.
        headers = {"Accept-Encoding": "identity"}
        if unless:
            headers["If-None-Match"] = unless
        if rest:
            headers |= {"Range": f"bytes={rest.start}-", "If-Range": rest.etag}
        try:
            with self._in_time(), self._open(url, headers) as response:
                answer = _answer(response, url, rest)
                if answer is not None:
                    yield answer
                    return
        # InvalidURL: a redirect to something that is no address.
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _no_answer(url, self._peer, error) from error
        # The rest does not fit what has arrived.
        with self.get(path, unless, None) as answer:
            yield answer

    @contextlib.contextmanager
    def _open(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        request = self._client.build_request("GET", url, headers=headers, extensions={"trace": self._trace})
        for _ in range(1 + REDIRECTS):
            response = self._client.send(request, stream=True)
            try:
                if response.next_request is None:
                    yield response
                    return
                _check_redirect(url, request.url, response.next_request.url)
                request = response.next_request
            finally:
                response.close()
        raise PermanentError(f"{url} was sent on more than {REDIRECTS} times; check --source")

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        """Hang up when `Settings.download_s` is over.

        The consumer of the chunks checks the time between two of them, and httpx limits the time between two bytes:
        headers that come letter by letter, or interim answers, would go on forever.
        """
        # One second after the consumer, whose message says more.
        timer = threading.Timer(settings().download_s + 1, self._hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _trace(self, event: str, about: dict[str, Any]) -> None:
        if event.endswith("connect_tcp.started"):
            self._peer = f"{about['host']}:{about['port']}"
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = about["return_value"].get_extra_info("socket")

    def _hang_up(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # This ends a read in the other thread; closing the socket would not.
                self._socket.shutdown(socket.SHUT_RDWR)

    def absent(self, what: str, name: str, said: list[str]) -> PermanentError:
        """See `Source`. The publisher answers 403, not 404, for a future month: its bucket can't be listed."""
        if said[0] == "403" and re.fullmatch(r"\d{4}-\d{2}", what):
            return NotPublished(f"{what} is not published yet: {self._prefix} answered 403 for {name}")
        return NotPublished(f"{what}: {self._prefix} has no {name} ({said[0]}); check the month and --source")


def connect() -> httpx.Client:
    """Return a client; raise `UsageError` when the environment's certificates or proxies can't be used."""
    try:
        return httpx.Client(timeout=TIMEOUT)
    except OSError as error:
        # httpx could not read the certificates.
        raise UsageError(
            f"SSL_CERT_FILE or SSL_CERT_DIR: {error.strerror or error}; name what holds certificates"
        ) from None
    except (ValueError, ImportError, httpx.InvalidURL):
        # httpx could not read the proxies. Its message may quote a password.
        raise UsageError(
            "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is no address of an http proxy: write http://host:port"
        ) from None


_HOST = re.compile(rb"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9a-f.]*:[0-9a-f:.]*")
"""A name or an address. A host with %40 or a blank in it is one host to httpx, and perhaps another to a proxy."""


def parse(prefix: str) -> httpx.URL:
    """Return the address; raise `UsageError` when it is none, or holds a user, a password, a query or a fragment."""
    try:
        address = httpx.URL(prefix.rstrip("/") + "/")
    except httpx.InvalidURL:
        raise UsageError(f"source {scheme_of(prefix)} is not an address: write http(s)://host/folder") from None
    if address.userinfo or address.query or address.fragment:
        raise UsageError(
            f"source {address.scheme}://{address.host}: write it without user, password, query and fragment; "
            "a source stands in the history of every orchestrator"
        )
    if not _HOST.fullmatch(address.raw_host) or not 0 < (address.port or 1) < 1 << 16:
        raise UsageError(f"source {scheme_of(prefix)} names no host: write http(s)://host/folder")
    return address


def _check_redirect(url: str, here: httpx.URL, there: httpx.URL) -> None:
    """Raise `PermanentError` on a redirect to another host: the user named, and the certificate covers, this one."""
    ports = {"http": 80, "https": 443}
    upgraded = here.scheme == "http" and there.scheme == "https" and here.port is None and there.port is None
    same_port = (here.port or ports.get(here.scheme)) == (there.port or ports.get(there.scheme))
    if here.host != there.host or not (upgraded or (here.scheme == there.scheme and same_port)):
        target = f"{there.scheme}://{there.netloc.decode('ascii')}"
        raise PermanentError(f"{url} was sent on to {quoted(target)}: if that is right, name it in --source")


# --- what a response means ------------------------------------------------------------------------------------------


def _answer(response: httpx.Response, url: str, rest: Rest | None) -> Answer | None:
    """Return what the response says; None when it holds a rest that does not fit what has arrived, or has none."""
    status = response.status_code
    if status == 304 and "If-None-Match" in response.request.headers:
        return Answer("unchanged")
    if status in (403, 404):
        return Answer("absent", said=str(status))
    etag = response.headers.get("etag")
    if rest is not None and status in (206, 416):
        whole = _whole_size(response, rest) if etag == rest.etag else None
        return whole and Answer("file", response.iter_raw(), rest.start, int(whole[1]), etag)
    if status != 200:
        raise bad_status(status, url, wait_s=_asked_to_wait(response.headers))
    # Some proxies compress without being asked. Unpacking is a risk (64 KB become 66 MB) that has no user.
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise PermanentError(
            f"{url} came compressed as {quoted(encoding)}, which was not requested; "
            "turn off compression for these files on the server, or on the proxy in between"
        )
    length = response.headers.get("content-length", "")
    return Answer("file", response.iter_raw(), 0, int(length) if _NUMBER.fullmatch(length) else None, strong(etag))


_NUMBER = re.compile(r"[0-9]{1,18}")


def _whole_size(response: httpx.Response, rest: Rest) -> re.Match[str] | None:
    return re.fullmatch(rf"bytes {rest.start}-\d+/({_NUMBER.pattern})", response.headers.get("content-range", ""))


def _asked_to_wait(headers: httpx.Headers) -> float | None:
    """Return the seconds that a Retry-After asks for: a number, or a date, compared with the server's own clock."""
    asked = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(asked):
        return float(asked)
    try:
        until, now = parsedate_to_datetime(asked), parsedate_to_datetime(headers["date"])
        return max(0.0, (until - now).total_seconds())
    # TypeError: only one of them names its time zone.
    except (KeyError, ValueError, TypeError):
        return None


def _no_answer(url: str, peer: str, error: Exception) -> PermanentError | SourceUnavailable:
    """Return the error for an exchange with `peer` that brought no whole answer."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return untrusted(httpx.URL(url).host, cause.verify_message)
        if isinstance(cause, socket.gaierror):
            return no_such_name(url, f"the name {quoted(peer.rpartition(':')[0])}", "--source")
    codes = {cause.errno for cause in causes if isinstance(cause, OSError)}
    return SourceUnavailable(f"{url}: {_failure(peer, error, codes)}")


def _failure(peer: str, error: Exception, codes: set[int | None]) -> str:
    message = quoted(str(error) or type(error).__name__, 200)
    if codes & {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN}:
        return f"no network: there is no way to {peer}"
    if errno.ECONNREFUSED in codes:
        return f"{peer} refuses connections; check --source, and that its server runs"
    if isinstance(error, httpx.ConnectTimeout):
        return f"{peer} did not answer within {TIMEOUT.connect:g} s"
    if isinstance(error, httpx.ReadTimeout):
        return f"{peer} sent nothing for {TIMEOUT.read:g} s"
    # httpx says "peer closed connection" and "Server disconnected" in the same class as "illegal header line".
    if isinstance(error, httpx.ReadError) or re.search("closed|disconnected", message):
        return f"{peer} closed the connection before the answer was whole"
    return f"{peer} did not answer as a web server does: {message}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, and what it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
