"""Where a published file comes from: a folder, an http(s) prefix, or a bucket of an object store.

Each answers the same question, "the file at this path; not if it is still that version; of this version only the rest",
and translates what goes wrong into the classes of `core.errors`. Nothing is tried again here but what an answer asks for:
a part that no longer fits is asked for whole. Retries are the orchestrators' job.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import socket
import ssl
import stat
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

import httpx

from core.errors import NotPublished, PermanentError, SourceUnavailable, UsageError, quoted
from core.settings import settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
"""Seconds between two bytes, not for the whole file: that has `Settings.download_s`."""

REDIRECTS = 5
"""How often one request may be sent on, within its own host."""

BLOCK = 8 << 20
BLOCK_S = 60.0
"""An object comes in blocks of so many bytes, each within so many seconds: the library limits a request as a whole only,
and a stalled connection would hold the step until the end of its time. A link of 140 KB/s is fast enough."""

_CHUNK = 1 << 20
_PIECE = 1 << 16  # what a cut in the middle of a block may lose


@dataclass(frozen=True)
class Rest:
    """What is missing of a file that came in part: `start` bytes of the version `etag` are here."""

    etag: str
    start: int


@dataclass(frozen=True)
class Answer:
    """What a source says to a request.

    With state ``file``, `chunks` are its bytes from `start` on, `size` is that of the whole, where the source says, and
    `etag` the version, where it has a strong one. With ``absent``, `said` is how the source put it.
    """

    state: Literal["file", "unchanged", "absent"]
    chunks: Iterable[bytes] = ()
    start: int = 0
    size: int | None = None
    etag: str | None = None
    said: str = ""


class Source(Protocol):
    """A place with published files."""

    def address(self, path: str) -> str:
        """What messages and the index call the file at `path`; without a secret."""

    def get(self, path: str, unless: str | None, rest: Rest | None) -> contextlib.AbstractContextManager[Answer]:
        """Ask for the file at `path`; ``unchanged`` when its version is still `unless`.

        With `rest`, the answer may begin where that says, if the file is still that version; else it is whole.
        Raise `SourceUnavailable` when no answer, or not all of it, comes, and `PermanentError` for a refusal.
        """

    def absent(self, what: str, name: str, said: list[str]) -> PermanentError:
        """The error for a file that is nowhere: `what` it was for, its name, and what was said at each place."""


def check(prefix: str) -> None:
    """Raise `UsageError` when the address `prefix` names no source, or holds a secret. Asks nobody."""
    scheme = prefix.partition("://")[0].lower()
    if scheme in ("http", "https"):
        _address(prefix)
    elif scheme in _CLOUDS:
        _bucket(prefix)
    else:
        raise UsageError(f"source {_scheme(prefix)}: write {SOURCES}")


@contextlib.contextmanager
def opened(prefix: str) -> Iterator[Source]:
    """The source that `prefix` names; raise `UsageError` when it names none."""
    if "://" not in prefix:
        yield Folder(prefix)
        return
    check(prefix)
    if prefix.lower().startswith("http"):
        with _client() as client:
            yield Web(_address(prefix), client)
    else:
        yield Bucket(prefix)


SOURCES = "a folder, an http(s) prefix, s3://, az:// or gs:// with bucket and folder, `sample` or `tlc`"
"""What a source may be, for messages."""


def _scheme(prefix: str) -> str:
    return prefix.partition("://")[0] + "://..."  # the rest may hold a password


# --- a folder -------------------------------------------------------------------------------------------------------


class Folder:
    """A folder of this machine. It has no versions: what it holds is copied each time."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        if not os.path.isdir(self._folder):  # noqa: PTH112  # Path.is_dir() raises on a name that is too long
            raise UsageError(f"source {folder!r} is not a folder: write {SOURCES}")

    def address(self, path: str) -> str:
        """See `Source`."""
        return str(self._folder / path)

    @contextlib.contextmanager
    def get(self, path: str, unless: str | None, rest: Rest | None) -> Iterator[Answer]:
        """See `Source`; raise `SourceUnavailable` when the file changes meanwhile: the copy may be half old, half new."""
        name = self._folder / path
        try:
            file = open(name, "rb", opener=_at_once)  # noqa: SIM115  # closed below
        except FileNotFoundError:
            yield Answer("absent", said="no file")
            return
        except OSError as error:
            raise _unreadable(name, error) from error
        with file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise PermanentError(f"{name} is not a regular file: publish a file under this name")
            yield Answer("file", _chunks(file, name), size=before.st_size)
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise SourceUnavailable(f"{name} changed while it was read; run again when it is whole")

    def absent(self, what: str, name: str, said: list[str]) -> PermanentError:
        """See `Source`."""
        return NotPublished(f"{what}: no {name} in {self._folder}; check the month and --source")


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would keep us waiting


def _chunks(file: IO[bytes], path: Path) -> Iterator[bytes]:
    try:
        yield from iter(lambda: file.read(_CHUNK), b"")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> PermanentError:
    return PermanentError(f"{path}: {error.strerror}; check the file and its disk")


# --- http -----------------------------------------------------------------------------------------------------------


class Web:
    """An http(s) prefix. Every request stays with its host, and https is never left for http."""

    def __init__(self, prefix: httpx.URL, client: httpx.Client) -> None:
        self._prefix, self._client = prefix, client
        self._socket: socket.socket | None = None

    def address(self, path: str) -> str:
        """See `Source`."""
        return str(self._prefix.join(path))

    @contextlib.contextmanager
    def get(self, path: str, unless: str | None, rest: Rest | None) -> Iterator[Answer]:
        """See `Source`."""
        url = self.address(path)
        headers = {"Accept-Encoding": "identity"}  # a range counts the bytes that are sent, and so does our digest
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
        except (httpx.HTTPError, httpx.InvalidURL) as error:  # the latter: a redirect to nonsense
            raise _no_answer(url, error) from error
        with self.get(path, unless, None) as answer:  # what is here does not fit
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
        """Hang up when `Settings.download_s` is over. Who takes the chunks looks at the clock between two of them, and httpx
        limits the time between two bytes: headers that come letter by letter, or interim answers, would go on for ever.
        """
        timer = threading.Timer(settings().download_s + 1, self._hang_up)  # after the taker, whose message says more
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _trace(self, event: str, about: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = about["return_value"].get_extra_info("socket")

    def _hang_up(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # which ends a read in the other thread; to close it would not

    def absent(self, what: str, name: str, said: list[str]) -> PermanentError:
        """See `Source`. The publisher answers 403, not 404, for a month that is not out (its bucket can't be listed)."""
        if said[0] == "403" and re.fullmatch(r"\d{4}-\d{2}", what):
            return NotPublished(f"{what} is not published yet: {self._prefix} answered 403 for {name}")
        return NotPublished(f"{what}: {self._prefix} has no {name} ({said[0]}); check the month and --source")


def _client() -> httpx.Client:
    try:
        return httpx.Client(timeout=TIMEOUT)
    except OSError as error:  # it reads the certificates
        raise UsageError(
            f"SSL_CERT_FILE or SSL_CERT_DIR: {error.strerror or error}; name what holds certificates"
        ) from None
    except (ValueError, ImportError, httpx.InvalidURL):  # it reads the proxies; what it says may quote a password
        raise UsageError(
            "HTTP_PROXY, HTTPS_PROXY or ALL_PROXY is no address of an http proxy: write http://host:port"
        ) from None


def _address(prefix: str) -> httpx.URL:
    try:
        address = httpx.URL(prefix.rstrip("/") + "/")
    except httpx.InvalidURL:
        raise UsageError(f"source {_scheme(prefix)} is not an address: write http(s)://host/folder") from None
    if address.userinfo or address.query or address.fragment:
        raise UsageError(
            f"source {address.scheme}://{address.host}: write it without user, password, query and fragment; "
            "a source stands in the history of every tool"
        )
    if not _HOST.fullmatch(address.raw_host) or not 0 < (address.port or 1) < 1 << 16:
        raise UsageError(f"source {_scheme(prefix)} names no host: write http(s)://host/folder")
    return address


_HOST = re.compile(rb"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9a-f.]*:[0-9a-f:.]*")
"""A name or an address. With %40 or a blank in it, it is one to httpx and perhaps another to a proxy."""


def _check_redirect(url: str, here: httpx.URL, there: httpx.URL) -> None:
    """The host is what was asked for, and what the certificate was checked for: another one is the caller's to choose."""
    ports = {"http": 80, "https": 443}
    upgraded = here.scheme == "http" and there.scheme == "https" and here.port is None and there.port is None
    same_port = (here.port or ports.get(here.scheme)) == (there.port or ports.get(there.scheme))
    if here.host != there.host or not (upgraded or (here.scheme == there.scheme and same_port)):
        asked = f"{there.scheme}://{there.netloc.decode('ascii')}"
        raise PermanentError(f"{url} was sent on to {quoted(asked)}: if that is right, name it in --source")


def _answer(response: httpx.Response, url: str, rest: Rest | None) -> Answer | None:
    """What the response says; None when it has a part, or the lack of one, that does not fit what is here."""
    status = response.status_code
    if status == 304 and "If-None-Match" in response.request.headers:
        return Answer("unchanged")
    if status in (403, 404):
        return Answer("absent", said=str(status))
    etag = response.headers.get("etag")
    if rest is not None and status in (206, 416):
        whole = _rest_of(response, rest) if etag == rest.etag else None
        return whole and Answer("file", response.iter_raw(), rest.start, int(whole[1]), etag)
    if status != 200:
        raise _bad_status(status, url, wait_s=_asked_to_wait(response.headers))
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding in ("gzip", "x-gzip"):  # not asked for: some proxies do
        return Answer("file", _unpacked(response.iter_raw(), url))
    if encoding != "identity":
        raise PermanentError(
            f"{url} came packed as {quoted(encoding)}, unasked: only gzip is unpacked; check the proxy"
        )
    length = response.headers.get("content-length", "")
    return Answer("file", response.iter_raw(), 0, int(length) if _NUMBER.fullmatch(length) else None, _strong(etag))


_NUMBER = re.compile(r"[0-9]{1,18}")


def _unpacked(chunks: Iterable[bytes], url: str) -> Iterator[bytes]:
    """Piece by piece. httpx unpacks at once what a read brought: of 64 KB it makes 66 MB, and packed twice 68 GB."""
    gzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for packed in chunks:
            while packed and not gzip.eof:
                yield gzip.decompress(packed, _CHUNK)
                packed = gzip.unconsumed_tail
            if gzip.eof:
                break
        yield gzip.flush()
    except zlib.error as error:
        raise SourceUnavailable(f"{url}: {error}; the transfer did not end well") from None
    if not gzip.eof:
        raise SourceUnavailable(f"{url}: what came is not the whole gzip; the transfer did not end well")


def _rest_of(response: httpx.Response, rest: Rest) -> re.Match[str] | None:
    return re.fullmatch(rf"bytes {rest.start}-\d+/({_NUMBER.pattern})", response.headers.get("content-range", ""))


def _asked_to_wait(headers: httpx.Headers) -> float | None:
    """Return the seconds that a Retry-After asks for: a number, or a date. That is compared with the server's own clock, not ours."""
    asked = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(asked):
        return float(asked)
    try:
        until, now = parsedate_to_datetime(asked), parsedate_to_datetime(headers["date"])
        return max(0.0, (until - now).total_seconds())
    except (KeyError, ValueError, TypeError):  # TypeError: only one of them names its zone
        return None


def _bad_status(
    status: int, what: str, code: str = "", wait_s: float | None = None
) -> PermanentError | SourceUnavailable:
    said = f"{what} answered {status}" + (f" ({code})" if code else "")
    if not (status in (408, 425, 429) or status >= 500):
        return PermanentError(f"{said}; check --source")
    if wait_s is None:
        return SourceUnavailable(f"{said}; the publisher may be busy")
    error = SourceUnavailable(f"{said} and asks to wait {wait_s:.0f} s; run again after that")
    error.wait_s = wait_s
    return error


def _strong(etag: str | None) -> str | None:
    """The ETag if it stands for these very bytes: a weak one may stand for others that mean the same."""
    return etag if etag and etag.startswith('"') and etag.isascii() else None  # other letters can't be sent back


def _no_answer(url: str, error: Exception) -> PermanentError | SourceUnavailable:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _no_trust(httpx.URL(url).host, cause.verify_message)
        cause = cause.__cause__ or cause.__context__
    return SourceUnavailable(f"{url}: {quoted(str(error) or type(error).__name__, 200)}; the transfer did not end well")


def _no_trust(host: str, why: str) -> PermanentError:
    return PermanentError(f"{host} has no certificate to be trusted ({why}): name its authority in SSL_CERT_FILE")


# --- object stores --------------------------------------------------------------------------------------------------

_CLOUDS = {"s3": "AWS_", "az": "AZURE_", "gs": "GOOGLE_"}
"""Schemes, and how the variables begin from which the library takes account, credentials, region and endpoint."""


def _bucket(prefix: str) -> tuple[str, str, str]:
    """Return scheme, bucket and folder. A folder may be named as the store allows; only what the library can't ask for is refused."""
    match = re.fullmatch(r"(s3|az|gs)://([A-Za-z0-9][A-Za-z0-9._-]+)((?:/.*)?)", prefix, re.IGNORECASE | re.DOTALL)
    if match is None:
        raise UsageError(
            f"source {_scheme(prefix)} names no bucket: write {_scheme(prefix)[:-3]}bucket/folder, and the key in "
            f"{_CLOUDS[prefix.partition('://')[0].lower()]}*"
        )
    scheme, bucket, folder = match[1].lower(), match[2], match[3].rstrip("/")
    if re.search(r"\?[^/]*=", folder):  # a signed address: its query is the secret
        raise UsageError(
            f"source {scheme}://{bucket}/... has a query (?name=value): write the folder alone, and the key in "
            f"{_CLOUDS[scheme]}*; a source stands in the history of every tool"
        )
    if "//" in folder or not folder.isprintable():
        raise UsageError(
            f"source {scheme}://{bucket}/... has an empty part (//) or a letter that can't be printed: "
            "obstore, which reads buckets, can't ask for such a key; copy the files to another folder"
        )
    return scheme, bucket, folder


class Bucket:
    """A prefix of a bucket (S3, Google) or container (Azure).

    Credentials are in the environment, or in a profile that it names (`core.extract.aws_profile`). The library's messages are never
    passed on, but for the store's code: they quote addresses and answers, and an address may be signed.
    """

    def __init__(self, prefix: str) -> None:
        self._scheme, self._bucket, self._prefix = _bucket(prefix)
        self._store = _store(self._scheme, self._bucket)

    def _key(self, path: str) -> str | None:
        """The object's name; None when the path leads out of the bucket."""
        key = posixpath.normpath(f"{self._prefix}/{path}".lstrip("/"))
        return None if key.startswith("../") else key

    def address(self, path: str) -> str:
        """See `Source`."""
        return self._label(self._key(path) or path)

    def _label(self, key: str) -> str:
        return f"{self._scheme}://{self._bucket}/{key}"

    @contextlib.contextmanager
    def get(self, path: str, unless: str | None, rest: Rest | None) -> Iterator[Answer]:
        """See `Source`."""
        key = self._key(path)
        if key is None:
            yield Answer("absent", said="no such object")
            return
        start = rest.start if rest else 0
        found = self._ask(key, start, {"if_none_match": unless, "if_match": rest.etag if rest else None})
        if found in ("changed", "past the end") and rest:
            with self.get(path, unless, None) as answer:
                yield answer
        elif found == "past the end":
            yield Answer("file", size=0)
        elif isinstance(found, str):
            yield Answer("unchanged") if found == "unchanged" else Answer("absent", said=found)
        else:
            size, etag = found.meta["size"], found.meta["e_tag"]
            yield Answer("file", self._blocks(key, found, start), start, size, _strong(etag))

    def _ask(self, key: str, start: int, conditions: dict[str, str | None]) -> Any:
        """The block that begins at `start`, or the reason why there is none, in words."""
        import obstore

        options = {name: etag for name, etag in conditions.items() if etag} | {"range": (start, start + BLOCK)}
        try:
            return obstore.get(self._store, key, options=options)  # type: ignore[arg-type]  # a dict, put together
        except (OSError, obstore.exceptions.BaseError) as error:
            return self._reason(key, error)

    def _blocks(self, key: str, block: Any, start: int) -> Iterator[bytes]:
        """The bytes from `start` on, `block` first. The others are asked for by its version: never half old, half new."""
        import obstore

        size, etag = block.meta["size"], block.meta["e_tag"]
        while True:
            try:
                for piece in block.stream(min_chunk_size=_PIECE):
                    yield bytes(piece)
            except (OSError, obstore.exceptions.BaseError):
                raise SourceUnavailable(f"{self._label(key)}: the transfer did not end well") from None
            start += BLOCK
            if start >= size:
                return
            if _strong(etag) is None:
                raise PermanentError(
                    f"{self._label(key)}: the store names no version (ETag) by which to ask for its rest"
                )
            block = self._ask(key, start, {"if_match": etag})
            if isinstance(block, str):
                raise SourceUnavailable(f"{self._label(key)} changed while it was read; run again when it is whole")

    def _reason(self, key: str, error: Exception) -> str:
        """Why there is no block: in words when an answer follows from it, else raised."""
        import obstore.exceptions as kinds

        text = str(error)
        status = int(found[1]) if (found := re.search(r"status code: (\d{3})", text)) else None
        code = found[1] if (found := re.search(_CODE, text)) else ""
        if isinstance(error, kinds.NotModifiedError):
            return "unchanged"
        if isinstance(error, kinds.PreconditionError):
            return "changed"
        if status == 416 or "Wanted range starting at" in text:
            return "past the end"
        if status == 404 and code not in _NO_BUCKET:
            return "no such object"
        if status == 403 and code == "AccessDenied":
            return "403"  # also what stores say of an object that is not there, to who may not list
        raise self._refusal(key, text, status, code) from None

    def _refusal(self, key: str, text: str, status: int | None, code: str) -> PermanentError | SourceUnavailable:
        name, place, variables = self._label(key), f"{self._scheme}://{self._bucket}", _CLOUDS[self._scheme]
        if code in _NO_BUCKET:
            return PermanentError(f"{place}: there is no such bucket ({code}); check --source")
        if re.search(_OWN_KEY, text):
            profile = ", or name a profile in AWS_PROFILE" if self._scheme == "s3" else ""
            return PermanentError(f"{name}: the environment has no key for it; set {variables}*{profile}")
        if found := re.search(r"InvalidCertificate\(\s*(\w+)", text):
            return _no_trust(place, found[1])
        if code in _ELSEWHERE or "redirect without LOCATION" in text or status in (301, 307):
            return self._elsewhere(place, text, code or "301 PermanentRedirect")
        if status in (401, 403) or code in _REMEDIES:
            return self._forbidden(name, code or str(status))
        if status is not None:
            return _bad_status(status, name, code)
        if "BadScheme" in text:
            return PermanentError(
                f"{place}: its endpoint is http, not https; if that is right, set {variables}ALLOW_HTTP=true"
            )
        if "HTTP error" in text:
            return SourceUnavailable(f"{name}: the store did not answer")
        return PermanentError(f"{name}: what answered is no such store; check {variables}*")

    def _elsewhere(self, place: str, text: str, code: str) -> PermanentError:
        variable = f"{_CLOUDS[self._scheme]}REGION"
        region = re.search(r"<Region>([a-z0-9-]{1,40})</Region>", text)
        mend = f"set {variable}={region[1]}" if region else f"check {variable}"
        return PermanentError(f"{place} is in another region ({code}); {mend}")

    def _forbidden(self, name: str, code: str) -> PermanentError:
        remedy = _REMEDIES.get(code, "check the key and its rights")
        return PermanentError(f"{name}: not allowed ({code}); {remedy} ({_CLOUDS[self._scheme]}*)")

    def absent(self, what: str, name: str, said: list[str]) -> PermanentError:
        """See `Source`."""
        if "403" in said:
            return self._forbidden(self.address(name), "403 AccessDenied")
        where = f"{self._scheme}://{self._bucket}{self._prefix}"
        return NotPublished(f"{what}: no {name} in {where}; check the month and --source")


_CODE = r"""(?:<Code>|"error":\s*")([A-Za-z_.]{1,60})\b"""
"""What a store calls an error: in XML, or in JSON where it exchanges keys for tokens. All that is passed on of its answer."""

_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")

_ELSEWHERE = ("AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect")

_REMEDIES = {
    "ExpiredToken": "the key has expired: get a new one",
    "TokenRefreshRequired": "the key has expired: get a new one",
    "InvalidToken": "the session token does not belong to the key: get new ones",
    "InvalidAccessKeyId": "the store does not know this key: check it",
    "SignatureDoesNotMatch": "the secret does not belong to the key: check both",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "invalid_grant": "the key is not accepted any more: get a new one",
    "invalid_client": "the key is not accepted any more: get a new one",
}
"""By the store's code, where the status (400 or 403) says less."""

_OWN_KEY = r"/latest/(api/token|meta-data)|/computeMetadata/|/metadata/identity/"
"""Where a machine in a cloud finds a key of its own: asked when the environment has none."""


def _store(scheme: str, bucket: str) -> ObjectStore:
    # Here and not at the top: most sources are no object stores, and the library is 15 MB.
    import obstore
    from obstore.store import from_url

    from core.extract.aws_profile import aws_profile

    variables = _CLOUDS[scheme]
    profile: Any = {"config": aws_profile(settings().passed_on)} if scheme == "s3" else {}
    try:
        return from_url(
            f"{scheme}://{bucket}",
            **profile,
            retry_config={"max_retries": 0},
            client_options={
                "timeout": timedelta(seconds=BLOCK_S),
                "connect_timeout": timedelta(seconds=10),
                # what is given here takes the place of all that the library reads of these options itself
                "allow_http": settings().passed_on.get(f"{variables}ALLOW_HTTP", "").lower() == "true",
            },
        )
    except (ValueError, obstore.exceptions.BaseError) as error:
        # It quotes the variable that it can't read. Only that one is missing is safe to pass on.
        known = "Account must be specified"
        why = f"{variables}STORAGE_ACCOUNT_NAME is not set" if known in str(error) else f"check {variables}*"
        raise UsageError(f"source {scheme}://{bucket} can't be opened with what the environment says: {why}") from None
