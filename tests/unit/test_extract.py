"""A source's file arrives whole and verified, or not at all: with one clear line, and nothing left over."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
import trustme

from core.datasets import GREEN, ZONES
from core.errors import (
    BadFile,
    DiskFull,
    NotPublished,
    PermanentError,
    SourceUnavailable,
    UsageError,
)
from core.extract import Extracted, extract, folder, web
from core.month import Month
from tests.publisher import HTML_ERROR_PAGE, MANIFEST, Publisher, lfs_pointer
from tests.unit.fetching import LOOKUP, MONTH, NAME, assert_is, refusal, set_variable

# --- a folder ---------------------------------------------------------------------------------------------------------


def test_a_file_comes_from_a_folder(published: Path, home: Path) -> None:
    found = extract(GREEN, str(published), MONTH)
    assert_is(found, published / NAME)
    assert found.path.is_relative_to(home)


def test_what_was_extracted_stays_when_the_source_changes(published: Path) -> None:
    found, before = extract(GREEN, str(published), MONTH), (published / NAME).read_bytes()
    (published / NAME).write_bytes(b"PAR1 something else PAR1")
    other = extract(GREEN, str(published), MONTH)
    assert found.path.read_bytes() == before
    assert other.path.read_bytes() == b"PAR1 something else PAR1"


@pytest.mark.parametrize("folder", ["published", "published/green", "published/../published"])
def test_the_lookup_is_found_next_to_the_trips(published: Path, folder: str) -> None:
    (published / "green").mkdir()
    assert_is(extract(ZONES, str(published.parent / folder)), published / LOOKUP)


def test_the_publishers_own_layout_works_as_a_folder(published: Path, tmp_path: Path) -> None:
    for name in ("trip-data", "misc"):
        (tmp_path / name).mkdir()
    (published / LOOKUP).rename(tmp_path / "misc" / LOOKUP)
    assert extract(ZONES, str(tmp_path / "trip-data")).name == LOOKUP


def test_a_month_that_the_folder_lacks_is_named(published: Path) -> None:
    message = refusal(NotPublished, lambda: extract(GREEN, str(published), Month(2024, 2)))
    assert message.startswith("2024-02: no green_tripdata_2024-02.parquet in ")


@pytest.mark.parametrize("source", ["", "no/such/folder", "ftp://host/x", "file:///etc", "s3://", "a\0b"])
def test_an_invalid_source_is_refused(home: Path, source: str) -> None:
    if source:
        refusal(UsageError, lambda: extract(GREEN, source, MONTH))
    else:
        # The working directory is a folder, but does not have the file.
        refusal(NotPublished, lambda: extract(GREEN, source, MONTH))


@pytest.mark.parametrize("what", ["pipe", "device"])
def test_a_pipe_or_a_device_is_refused_at_once(published: Path, what: str) -> None:
    """Reading a pipe without a writer would block forever, and a device would never end."""
    (published / NAME).unlink()
    os.mkfifo(published / NAME) if what == "pipe" else (published / NAME).symlink_to("/dev/zero")
    message = refusal(PermanentError, lambda: extract(GREEN, str(published), MONTH))
    assert message == f"{published / NAME} is not a regular file: publish a file under this name"


def test_a_folder_under_the_files_name_is_one_clear_line(published: Path) -> None:
    (published / NAME).unlink()
    (published / NAME).mkdir()
    assert f"{NAME}: Is a directory" in refusal(PermanentError, lambda: extract(GREEN, str(published), MONTH))


def test_a_file_that_grows_while_it_is_read_is_transient(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = folder._chunks

    def slowly(file: IO[bytes], path: Path) -> Iterator[bytes]:
        yield from read(file, path)
        with path.open("ab") as more:
            more.write(b"PAR1")

    monkeypatch.setattr(folder, "_chunks", slowly)
    message = refusal(SourceUnavailable, lambda: extract(GREEN, str(published), MONTH))
    assert "changed while it was read" in message


def test_no_month_and_no_dataset_can_name_a_path_outside() -> None:
    paths = [path.format(month=MONTH) for dataset in (GREEN, ZONES) for path in dataset.paths]
    assert {Path(path).name for path in paths} == {NAME, LOOKUP}
    # `Month.parse` accepts nothing else: see test_month.
    assert re.fullmatch(r"[\w.-]+", NAME)


# --- http -------------------------------------------------------------------------------------------------------------


def test_a_file_is_fetched_over_http(published: Path, site: Publisher, home: Path) -> None:
    found = extract(GREEN, site.url, MONTH)
    assert_is(found, published / NAME)
    assert found.path.is_relative_to(home)
    assert_is(extract(ZONES, site.url + "/"), published / LOOKUP)


def test_tlc_is_the_publishers_address(site: Publisher, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variable(monkeypatch, "TRIPTYCH_TLC_URL", site.url)
    assert_is(extract(GREEN, "tlc", MONTH), published / NAME)


def test_an_unchanged_file_is_not_fetched_again(site: Publisher) -> None:
    first, second = extract(GREEN, site.url, MONTH), extract(GREEN, site.url, MONTH)
    assert second == first
    assert [(request.name, request.status) for request in site.requests] == [
        (NAME, 200), (MANIFEST, 403), (NAME, 304), (MANIFEST, 403),
    ]  # fmt: skip


def test_a_replaced_file_is_noticed(site: Publisher, published: Path) -> None:
    first, before = extract(GREEN, site.url, MONTH), (published / NAME).stat()
    content = bytearray((published / NAME).read_bytes())
    content[100] ^= 1
    (published / NAME).write_bytes(content)
    # The same size, in the same second.
    os.utime(published / NAME, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = extract(GREEN, site.url, MONTH)
    assert second.sha256 != first.sha256
    assert_is(second, published / NAME)
    assert first.path.exists()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[:-1],
    "one bit": lambda content: content[:50] + bytes([content[50] ^ 4]) + content[51:],
    "emptied": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_kept_file_that_was_damaged_on_disk_is_fetched_again(site: Publisher, published: Path, damage: str) -> None:
    first = extract(GREEN, site.url, MONTH)
    first.path.write_bytes(DAMAGE[damage](first.path.read_bytes()))
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert site.count(NAME, 200) == 2


def test_a_kept_file_that_was_deleted_is_fetched_again(site: Publisher, published: Path) -> None:
    extract(GREEN, site.url, MONTH).path.unlink()
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"sha256": "x"}', '{"other": 1}', "\0"])
def test_an_unreadable_index_only_costs_a_download(site: Publisher, home: Path, published: Path, text: str) -> None:
    extract(GREEN, site.url, MONTH)
    (entry,) = (home / "files" / "index").iterdir()
    entry.write_text(text)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert json.loads(entry.read_text())["bytes"] == (published / NAME).stat().st_size


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_busy_publisher_is_transient(site: Publisher, published: Path, status: int) -> None:
    site.fail(NAME, status)
    assert f"answered {status}" in refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)


def test_an_attempt_waits_as_long_as_retry_after_asks(site: Publisher, published: Path) -> None:
    site.fail(NAME, 429, retry_after_s=1)
    began = time.monotonic()
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert time.monotonic() - began >= 1
    assert [request.status for request in site.requests if request.name == NAME] == [429, 200]


def test_the_wait_may_be_a_date(site: Publisher, published: Path) -> None:
    site.fail(NAME, 503, retry_after=formatdate(time.time() + 2, usegmt=True))
    began = time.monotonic()
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    # Dates have whole seconds.
    assert time.monotonic() - began >= 0.9
    site.fail(NAME, 503, retry_after="Wed, 01 Jan 2020 00:00:00 GMT")
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)


def test_an_attempt_waits_once(site: Publisher) -> None:
    site.fail(NAME, 503, times=None, retry_after_s=0)
    message = refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
    assert message == f"{site.url}/{NAME} answered 503 and asks to wait 0 s; run again after that"
    assert site.count(NAME) == 2


def test_a_wait_of_more_than_a_minute_is_reported_and_left_to_the_retry(
    site: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A call would fail: no wait may happen.
    monkeypatch.setattr(time, "sleep", None)
    for asked in ("300", formatdate(time.time() + 300, usegmt=True)):
        site.fail(NAME, 429, retry_after=asked)
        message = refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
        assert re.search(r" answered 429 and asks to wait (300|299) s; run again after that$", message)
    # A wait longer than the limit for a file is left to the retry, too.
    set_variable(monkeypatch, "TRIPTYCH_DOWNLOAD_S", "5")
    site.fail(NAME, 429, retry_after_s=6)
    assert "asks to wait 6 s" in refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
    assert site.count(NAME) == 3


@pytest.mark.parametrize("asked", ["", "soon", "-1", "1e3", "Wed, 99 Jan 2020 00:00:00 GMT", "9" * 40])
def test_a_malformed_retry_after_is_ignored(site: Publisher, asked: str) -> None:
    site.fail(NAME, 503, retry_after=asked)
    message = refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
    assert message.endswith(" answered 503; the publisher may be busy") and site.count(NAME) == 1


def test_a_wait_can_be_interrupted(site: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    site.fail(NAME, 503, retry_after_s=50)

    def interrupt(seconds: float) -> None:
        assert seconds <= 1
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        extract(GREEN, site.url, MONTH)
    assert site.count(NAME) == 1


@pytest.mark.parametrize("status", [400, 401, 410, 416])
def test_a_refusal_is_permanent(site: Publisher, status: int) -> None:
    site.fail(NAME, status)
    assert f"answered {status}" in refusal(PermanentError, lambda: extract(GREEN, site.url, MONTH))


def test_a_month_that_is_not_published_yet_is_reported_as_such(site: Publisher) -> None:
    message = refusal(NotPublished, lambda: extract(GREEN, site.url, Month(2026, 11)))
    assert message.startswith("2026-11 is not published yet: ")


def test_a_missing_month_is_reported_as_such(site: Publisher) -> None:
    site.fail(NAME, 404)
    message = refusal(NotPublished, lambda: extract(GREEN, site.url, MONTH))
    assert "has no green_tripdata_2024-01.parquet (404)" in message
    assert "not published yet" not in message


def test_a_cut_transfer_is_transient(site: Publisher, published: Path) -> None:
    # With an ETag the transfer would continue: see test_resume.
    site.serve(NAME, etag="")
    site.cut(NAME)
    assert NAME in refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)


def test_a_publisher_that_stops_sending_is_transient(site: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "TIMEOUT", httpx.Timeout(0.2))
    site.stall(NAME, times=None)
    assert "sent nothing for 0.2 s" in refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))


def test_a_publisher_that_does_not_listen_is_transient(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    message = refusal(SourceUnavailable, lambda: extract(GREEN, f"http://127.0.0.1:{port}/x", MONTH))
    assert message.endswith(f"127.0.0.1:{port} refuses connections; check --source, and that its server runs")


def test_a_name_that_cannot_be_looked_up_means_no_network(home: Path) -> None:
    message = refusal(SourceUnavailable, lambda: extract(GREEN, "https://nosuch.invalid/x", MONTH))
    assert ": no network: the name nosuch.invalid can't be looked up; if there is a network, check " in message
    assert "Errno" not in message


def test_a_proxy_that_cannot_be_looked_up_is_the_one_that_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:s3cret@proxy.invalid:3128")
    message = refusal(SourceUnavailable, lambda: extract(GREEN, "http://host.invalid/x", MONTH))
    assert "the name proxy.invalid can't be looked up" in message
    assert "s3cret" not in message


def test_a_publisher_out_of_reach_means_no_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: object) -> None:
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    monkeypatch.setattr(socket.socket, "connect", connect)
    message = refusal(SourceUnavailable, lambda: extract(GREEN, "http://192.0.2.1/x", MONTH))
    assert message.endswith(": no network: there is no way to 192.0.2.1:80")


def test_a_file_is_known_only_when_it_is_whole(site: Publisher, published: Path) -> None:
    stall = site.stall(NAME)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(extract, GREEN, site.url, MONTH)
        assert stall.reached.wait(30)
        # Another loader is not disturbed.
        assert_is(extract(GREEN, site.url, MONTH), published / NAME)
        stall.release()
        assert_is(slow.result(30), published / NAME)


def test_many_loaders_may_fetch_one_file_at_once(site: Publisher, published: Path) -> None:
    start = threading.Barrier(8)

    def fetch(_: int) -> Extracted:
        start.wait()
        return extract(ZONES, site.url)

    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(fetch, range(8)):
            assert_is(found, published / LOOKUP)


@pytest.mark.parametrize(
    "source",
    [
        "http://user:s3cret@127.0.0.1:1/x", "https://s3cret@host/x", "http://host/x?token=s3cret",
        "http://host/x#s3cret",
        "http://user:s3/cret@host/x", "http://host:s3cret/x", "http://[::s3cret]/x", "ftp://user:s3cret@host/x",
        "HTTPS://u:s3cret@host/", "http://", "https:///x",
        "http://s3cret\\@evil/x", "http://s3cret:80@evil/x", "http://host%40s3cret/x", "http://host;s3cret/x",
        "http://host s3cret/x",
        "http://host\ts3cret/x", "http://host/\x1b[31m", "http://127.0.0.1:99999/x", f"http://{'a' * 64}/x",
        f"http://{'a' * 300}/x",
    ],
)  # fmt: skip
def test_an_invalid_or_secret_address_is_refused_without_being_quoted(home: Path, source: str) -> None:
    message = refusal(UsageError, lambda: extract(GREEN, source, MONTH))
    assert "s3cret" not in message and "cret@" not in message


# --- what is no file of its format ------------------------------------------------------------------------------------

PARQUET = b"PAR1" + bytes(100) + b"PAR1"

NOT_FILES = {
    "empty": (b"", r"is empty \(0 bytes\)"),
    "a web page": (HTML_ERROR_PAGE, r"is a web page of \d+ bytes"),
    "an xml error": (b'\n <?xml version="1.0"?><Error/>', r"is a web page of \d+ bytes"),
    "a pointer": (lfs_pointer(PARQUET), r"is a Git LFS pointer of \d+ bytes: run `git lfs pull`"),
    "cut off": (PARQUET[:-1], r"is cut off: \d+ bytes"),
    "cut to its head": (b"PAR1", r"is cut off: 4 bytes"),
    "csv": (b"VendorID,fare\n1,2\n", r"is not a parquet file: it begins with b'VendorID'"),
    "gzip": (b"\x1f\x8b" + PARQUET, r"is not a parquet file: it begins with"),
    "bytes before": (b"\n" + PARQUET, r"is not a parquet file: it begins with"),
}


@pytest.mark.parametrize("case", NOT_FILES)
def test_a_file_that_is_not_parquet_is_refused_in_one_line(
    published: Path, site: Publisher, home: Path, case: str
) -> None:
    body, said = NOT_FILES[case]
    site.send(NAME, body)
    assert re.match(f"{NAME} {said}", refusal(BadFile, lambda: extract(GREEN, site.url, MONTH)))
    (published / NAME).write_bytes(body)
    assert re.match(f"{NAME} {said}", refusal(BadFile, lambda: extract(GREEN, str(published), MONTH)))
    assert [path for path in (home / "files").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("case", ["empty", "a web page", "a pointer"])
def test_a_file_that_is_not_a_lookup_is_refused_in_one_line(site: Publisher, case: str) -> None:
    site.send(LOOKUP, NOT_FILES[case][0], times=None)
    assert LOOKUP in refusal(BadFile, lambda: extract(ZONES, site.url))


def test_a_bad_answer_is_not_remembered(site: Publisher, published: Path) -> None:
    site.send(NAME, HTML_ERROR_PAGE)
    refusal(BadFile, lambda: extract(GREEN, site.url, MONTH))
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)


def test_the_real_bad_files_are_refused_in_one_line(real_data: Path, published: Path) -> None:
    for name, said in {"lfs-pointer": "is a Git LFS pointer of 132 bytes", "truncated": "is cut off: "}.items():
        (bad,) = (real_data / "bad").glob(f"*{name}*")
        (published / NAME).write_bytes(bad.read_bytes())
        assert f"{NAME} {said}" in refusal(BadFile, lambda: extract(GREEN, str(published), MONTH))


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_file_above_the_limit_is_refused_from_a_folder_and_by_its_declared_size(
    site: Publisher, published: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = f"{(published / NAME).stat().st_size * 0.75 / 1e6:.4f}"
    set_variable(monkeypatch, "TRIPTYCH_MAX_FILE_MB", limit)
    # After half of the file, which is below the limit: the declared size alone must be enough to refuse it.
    site.stall(NAME)
    for source in (site.url, str(published)):
        message = refusal(BadFile, partial(extract, GREEN, source, MONTH))
        assert NAME in message and f"{float(limit):g} MB is the limit" in message and "TRIPTYCH_MAX_FILE_MB" in message
    assert [path for path in (home / "files").rglob("*") if path.is_file()] == []


def test_a_file_that_is_larger_than_declared_is_stopped(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variable(monkeypatch, "TRIPTYCH_MAX_FILE_MB", "0.01")

    def endless() -> Iterator[bytes]:
        while True:
            yield b"PAR1" * 1_000

    def transport(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=endless())

    client = httpx.Client(transport=httpx.MockTransport(transport))
    monkeypatch.setattr(httpx, "Client", lambda **options: client)
    assert "0.01 MB is the limit" in refusal(BadFile, lambda: extract(GREEN, "http://host/x", MONTH))


def test_a_publisher_that_drips_can_not_hold_a_step_forever(
    site: Publisher, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variable(monkeypatch, "TRIPTYCH_DOWNLOAD_S", "0.3")
    site.drip(NAME)
    assert "came in 0.3 s (TRIPTYCH_DOWNLOAD_S)" in refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
    assert site.count(NAME) == 1
    site.clear(NAME)
    set_variable(monkeypatch, "TRIPTYCH_DOWNLOAD_S", "60")
    # What arrived is not lost.
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert site.count(NAME, 206) == 1


# --- where it comes from ----------------------------------------------------------------------------------------------


def test_a_redirect_within_the_host_is_followed(site: Publisher, published: Path) -> None:
    (published / "green_tripdata_2024-02.parquet").write_bytes((published / NAME).read_bytes())
    site.redirect(NAME, f"{site.url}/green_tripdata_2024-02.parquet")
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    site.redirect(NAME, NAME, times=None)
    assert "sent on more than 5 times" in refusal(PermanentError, lambda: extract(GREEN, site.url, MONTH))


@pytest.mark.parametrize(
    "location",
    [
        "http://other.example/{}?sig=s3cret", "//localhost/{}", "http://127.0.0.1:1/{}", "https://127.0.0.1/{}",
        "http://127.0.0.1./{}",
        "http://127.0.0.1@other.example/{}", "http://u:s3cret@other.example/{}", "//127.0.0.1\\@other.example/{}",
        "http://127.0.0.1%40other.example/{}",
        "http://[::ffff:127.0.0.1]/{}", "http://127.1/{}", "http://0x7f000001/{}", "http://127.0.0.1.other.example/{}",
    ],
)  # fmt: skip
def test_a_redirect_to_another_host_is_refused(site: Publisher, location: str) -> None:
    site.redirect(NAME, location.format(NAME))
    message = refusal(PermanentError, lambda: extract(GREEN, site.url, MONTH))
    assert "was sent on to http" in message and "name it in --source" in message
    assert "s3cret" not in message


def test_a_password_that_a_netrc_file_has_for_the_host_is_not_sent(
    site: Publisher, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """curl and requests would send it: a source is requested as it is written."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\ndefault login me password s3cret\n")
    (tmp_path / "netrc").chmod(0o600)
    (tmp_path / "netrc").rename(tmp_path / ".netrc")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    sent: list[httpx.Headers] = []
    send = httpx.Client.send

    def noted(client: httpx.Client, request: httpx.Request, **how: Any) -> httpx.Response:
        sent.append(request.headers)
        return send(client, request, **how)

    monkeypatch.setattr(httpx.Client, "send", noted)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    (tmp_path / ".netrc").unlink()
    assert sent and not any("authorization" in headers for headers in sent)


@pytest.mark.parametrize(
    "proxy",
    ["ftp://u:s3cret@proxy:1", "http://u:s3cret/@proxy:1", "http://u:x@proxy:s3cret", "socks5://u:s3cret@proxy:1"],
)
def test_an_invalid_proxy_is_named_without_its_password(
    site: Publisher, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    message = refusal(UsageError, lambda: extract(GREEN, site.url, MONTH))
    assert message.startswith("HTTP_PROXY, HTTPS_PROXY or ALL_PROXY") and "s3cret" not in message


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure_site(published: Path, authority: trustme.CA) -> Iterator[Publisher]:
    with Publisher(published, authority.issue_cert("127.0.0.1")) as running:
        yield running


def test_an_untrusted_certificate_is_refused(
    secure_site: Publisher, published: Path, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refusal(PermanentError, lambda: extract(GREEN, secure_site.url, MONTH))
    assert message.startswith("127.0.0.1 has no certificate to be trusted (") and "SSL_CERT_FILE" in message
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert_is(extract(GREEN, secure_site.url, MONTH), published / NAME)


def test_a_certificate_for_another_host_is_refused(
    published: Path, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with Publisher(published, authority.issue_cert("other.example")) as site:
        message = refusal(PermanentError, lambda: extract(GREEN, site.url, MONTH))
    assert "127.0.0.1" in message and "certificate" in message


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_unreadable_certificates_are_a_usage_error(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    if content:
        (tmp_path / "ca.pem").write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert "SSL_CERT_FILE" in refusal(UsageError, lambda: extract(GREEN, "https://127.0.0.1:1/x", MONTH))


# --- room -------------------------------------------------------------------------------------------------------------


def extract_with_little_room(source: str) -> str:
    """Return the message of an attempt in a process whose files may have 4 KB at most: like a full disk, without root.

    In a process of its own, for the limit would hold for the file that this one's output may go to as well.
    """
    script = (
        "import resource, sys\n"
        "from core.errors import DiskFull\nfrom core.extract import extract\n"
        "from core.month import Month\nfrom core.datasets import GREEN\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    extract(GREEN, sys.argv[1], Month(2024, 1))\n"
        "except DiskFull as error:\n    print(error, end='')\n"
    )
    return subprocess.run([sys.executable, "-c", script, source], capture_output=True, text=True, check=True).stdout


def test_a_folder_without_room_is_one_clear_line(published: Path, home: Path) -> None:
    message = extract_with_little_room(str(published))
    assert message == f"no room under {home / 'files'}: make some, then run again"


def test_a_download_without_room_is_one_clear_line(site: Publisher, home: Path) -> None:
    message = extract_with_little_room(site.url)
    assert message == f"no room under {home / 'files'}: make some, then run again"


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root may mount a small file system")
def test_a_full_disk_is_one_clear_line(published: Path, home: Path) -> None:
    home.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(home)], capture_output=True).returncode:
        pytest.skip("this root may not mount")
    try:
        message = refusal(DiskFull, lambda: extract(GREEN, str(published), MONTH))
        assert message == f"no room under {home / 'files'}: make some, then run again"
        assert list((home / "files").iterdir()) == []
        # A file that fits is still fetched.
        assert extract(ZONES, str(published)).bytes < 16_384
    finally:
        subprocess.run(["umount", str(home)], check=True)


def test_a_state_folder_that_can_not_be_used_is_one_clear_line(published: Path, home: Path) -> None:
    home.mkdir()
    (home / "files").write_text("a file where a folder belongs")
    message = refusal(PermanentError, lambda: extract(GREEN, str(published), MONTH))
    assert str(home) in message
    assert "check the state folder" in message


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_file(published: Path) -> None:
    big = published / NAME
    with big.open("wb") as file:
        file.write(b"PAR1")
        # A sparse file: a hole takes no room until it is copied.
        file.truncate(200_000_000)
        file.seek(0, os.SEEK_END)
        file.write(b"PAR1")
    script = (
        "import re, sys\n"
        "from pathlib import Path\nfrom core.extract import extract\n"
        "from core.month import Month\nfrom core.datasets import GREEN\n"
        "def peak():\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
        "before = peak()\n"
        "extract(GREEN, sys.argv[1], Month(2024, 1))\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(published)], capture_output=True, text=True, check=True)
    # In KB, for a file of 200,000.
    assert int(done.stdout) < 50_000
