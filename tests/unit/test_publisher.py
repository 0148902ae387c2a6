"""The simulated web site behaves like the real one, and misbehaves as told."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.publisher import HTML_ERROR_PAGE, MANIFEST, ZONES, Publisher, lfs_pointer

NAME = "green_tripdata_2024-01.parquet"
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    (tmp_path / NAME).write_bytes(CONTENT)
    (tmp_path / ZONES).write_bytes(b"zones")
    with Publisher(tmp_path) as site:
        yield site


def get(publisher: Publisher, name: str = NAME, **headers: str) -> httpx.Response:
    # Without verify=False httpx reads its certificates for every call: most of the time, and there is no TLS here.
    return httpx.get(f"{publisher.url}/{name}", headers=headers, verify=False)


def test_a_file_comes_whole_and_is_counted(publisher: Publisher) -> None:
    answer = get(publisher)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert publisher.count(NAME) == publisher.count(NAME, 200) == 1
    assert httpx.head(f"{publisher.url}/{NAME}").headers["Content-Length"] == str(len(CONTENT))


def test_the_zone_lookup_is_not_among_the_trips(publisher: Publisher) -> None:
    assert get(publisher, ZONES).status_code == 403
    assert get(publisher, f"../misc/{ZONES}").content == b"zones"


@pytest.mark.parametrize("name", ["green_tripdata_2026-11.parquet", "green/" + NAME, "..%2f..%2fetc%2fpasswd", ""])
def test_a_missing_file_is_forbidden(publisher: Publisher, name: str) -> None:
    assert get(publisher, name).status_code == 403


def test_an_unchanged_file_is_not_sent_again(publisher: Publisher) -> None:
    first = get(publisher).headers
    for header, value in (("If-None-Match", first["ETag"]), ("If-Modified-Since", first["Last-Modified"])):
        again = get(publisher, **{header: value})
        assert (again.status_code, again.content) == (304, b"")


def test_a_replaced_file_has_other_validators(publisher: Publisher) -> None:
    first = get(publisher).headers
    publisher.replace(NAME, b"other")
    for header, value in (("If-None-Match", first["ETag"]), ("If-Modified-Since", first["Last-Modified"])):
        assert get(publisher, **{header: value}).content == b"other"


@pytest.mark.parametrize(
    ("wanted", "part"), [("bytes=5-9", CONTENT[5:10]), ("bytes=10000-", CONTENT[10000:]), ("bytes=-7", CONTENT[-7:])]
)
def test_a_range_is_sent_alone(publisher: Publisher, wanted: str, part: bytes) -> None:
    answer = get(publisher, Range=wanted)
    assert (answer.status_code, answer.content) == (206, part)
    assert get(publisher, Range=wanted, **{"If-Range": '"older"'}).content == CONTENT


def test_a_range_past_the_end_is_refused(publisher: Publisher) -> None:
    assert get(publisher, Range=f"bytes={len(CONTENT)}-").status_code == 416


def test_faults_come_in_order_and_end(publisher: Publisher) -> None:
    publisher.fail("2024-01", 503, times=2)
    publisher.fail(NAME, 429, retry_after_s=7)
    answers = [get(publisher) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 503, 429, 200]
    assert answers[2].headers["Retry-After"] == "7"


def test_a_lasting_fault_lasts_until_it_is_cleared(publisher: Publisher) -> None:
    publisher.fail(NAME, 500, times=None)
    assert [get(publisher).status_code for _ in range(3)] == [500] * 3
    publisher.clear(NAME)
    assert get(publisher).status_code == 200


@pytest.mark.parametrize("body", [HTML_ERROR_PAGE, lfs_pointer(CONTENT), b""])
def test_another_body_comes_with_status_200(publisher: Publisher, body: bytes) -> None:
    publisher.send(NAME, body)
    answer = get(publisher)
    assert (answer.status_code, answer.content) == (200, body)


def test_a_cut_transfer_is_half_a_file(publisher: Publisher) -> None:
    publisher.cut(NAME)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        get(publisher)
    assert get(publisher).content == CONTENT


def test_a_stalled_transfer_continues_when_released(publisher: Publisher) -> None:
    stall = publisher.stall(NAME)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get, publisher)
        assert stall.reached.wait(10)
        assert not answer.done()
        stall.release()
        assert answer.result(10).content == CONTENT


def test_files_are_released_together(publisher: Publisher, tmp_path: Path) -> None:
    other = NAME.replace("01", "02")
    (tmp_path / other).write_bytes(b"other")
    publisher.release_together(["2024-01", "2024-02"])
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(get, publisher), pool.submit(get, publisher, other)
        assert (first.result(10).content, second.result(10).content) == (CONTENT, b"other")


def test_a_file_that_waits_alone_is_never_whole(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.publisher.DEADLINE_S", 0.05)
    publisher.release_together(["2024-01", "2024-02"])
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            get(publisher)


def test_a_page_stays(publisher: Publisher) -> None:
    publisher.page("2024-01")
    assert [get(publisher).content for _ in range(2)] == [HTML_ERROR_PAGE] * 2
    assert publisher.count("2024-01", 200) == 2


def test_leaving_ends_a_stall(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(CONTENT)
    with ThreadPoolExecutor(1) as pool:
        with Publisher(tmp_path) as publisher:
            stall = publisher.stall(NAME)
            answer = pool.submit(get, publisher)
            assert stall.reached.wait(10)
        assert answer.result(10).content == CONTENT


def test_a_redirect_leads_elsewhere_once(publisher: Publisher) -> None:
    publisher.redirect(NAME, "/elsewhere")
    answer = get(publisher)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/elsewhere")
    assert get(publisher).content == CONTENT


def test_a_file_is_served_as_asked(publisher: Publisher) -> None:
    publisher.serve(NAME, etag="W/{}", ranges=False)
    answer = get(publisher, Range="bytes=5-9")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["ETag"].startswith('W/"')
    publisher.serve(NAME, etag="")
    assert "ETag" not in get(publisher).headers


def test_a_file_that_drips_never_ends(publisher: Publisher) -> None:
    publisher.drip(NAME)
    with httpx.stream("GET", f"{publisher.url}/{NAME}", verify=False) as answer:
        pieces = answer.iter_raw()
        assert CONTENT.startswith(next(pieces) + next(pieces))


def test_a_manifest_is_next_to_trips_and_lookup(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(b"digests")
    assert get(publisher, MANIFEST).content == get(publisher, f"../misc/{MANIFEST}").content == b"digests"
