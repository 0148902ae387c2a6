"""A transfer that is cut continues where it was cut, in the same version of the file or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from core.datasets import GREEN
from core.errors import BadFile, DiskFull, PermanentError, SourceUnavailable
from core.extract import extract, resume, sample, transfer
from core.extract.resume import Partial
from core.extract.transfer import CONTINUATIONS, Transfer
from core.waiting import until
from tests.publisher import Publisher, Request
from tests.unit.fetching import MONTH, NAME, assert_is, refusal

WAIT_S = 30.0
# Long enough for a busy machine: the request after a stall must be answered within it.
SHORT = httpx.Timeout(30.0, read=2.0)


@pytest.fixture
def size(published: Path) -> int:
    return (published / NAME).stat().st_size


@pytest.fixture
def parts(home: Path) -> Path:
    return home / "files" / "parts"


def asked(site: Publisher) -> list[Request]:
    """Return the requests for the month, in order, without those for its manifest."""
    return [request for request in site.requests if request.name == NAME]


def starts(site: Publisher) -> list[str | None]:
    """Return where each request for the month wanted to begin."""
    return [request.headers.get("Range") for request in asked(site)]


# --- in one attempt ---------------------------------------------------------------------------------------------------


def test_a_cut_transfer_continues_where_it_was_cut(site: Publisher, published: Path, size: int, parts: Path) -> None:
    site.cut(NAME, times=2)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    first, second, third = asked(site)
    assert [first.status, second.status, third.status] == [200, 206, 206]
    assert starts(site) == [None, f"bytes={size // 2}-", f"bytes={size // 2 + (size - size // 2) // 2}-"]
    assert second.headers["If-Range"].startswith('"')
    assert list(parts.iterdir()) == []


def test_a_stalled_transfer_continues(site: Publisher, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.extract.web.TIMEOUT", SHORT)
    site.stall(NAME)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert [request.status for request in asked(site)] == [200, 206]


def test_an_attempt_continues_a_bounded_number_of_times(site: Publisher) -> None:
    site.cut(NAME, times=None)
    assert "before the answer was whole" in refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
    assert site.count(NAME) == 1 + CONTINUATIONS


@pytest.mark.parametrize("status", [503, 429])
def test_a_transfer_without_bytes_is_not_continued(site: Publisher, status: int) -> None:
    site.cut(NAME)
    site.fail(NAME, status)
    assert f"answered {status}" in refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
    assert site.count(NAME) == 2


@pytest.mark.parametrize("etag", ["", "W/{}"], ids=["none", "weak"])
def test_without_a_strong_etag_nothing_is_resumed(site: Publisher, published: Path, parts: Path, etag: str) -> None:
    site.serve(NAME, etag=etag)
    site.cut(NAME)
    refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
    assert not parts.exists()
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert starts(site) == [None, None]


def test_a_server_that_ignores_ranges_sends_the_whole_file_again(site: Publisher, published: Path) -> None:
    site.serve(NAME, ranges=False)
    site.cut(NAME)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert [request.status for request in asked(site)] == [200, 200]


def test_a_file_that_changes_in_between_starts_over(
    site: Publisher, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.extract.web.TIMEOUT", SHORT)
    stall = site.stall(NAME)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(extract, GREEN, site.url, MONTH)
        assert stall.reached.wait(WAIT_S)
        # The rest of the old version never comes.
        sample.write_month(published / NAME, MONTH, seed=1, rows=900)
        assert_is(slow.result(WAIT_S), published / NAME)
    assert [request.status for request in asked(site)] == [200, 200]


# --- by the next attempt ----------------------------------------------------------------------------------------------


def leave_half(site: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run an attempt that ends in the middle."""
    with monkeypatch.context() as patch:
        patch.setattr(transfer, "CONTINUATIONS", 0)
        site.cut(NAME)
        refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))


def test_the_next_attempt_continues(
    site: Publisher, published: Path, size: int, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_half(site, monkeypatch)
    (part,) = parts.glob("*.part")
    etag = hashlib.md5((published / NAME).read_bytes(), usedforsecurity=False).hexdigest()
    assert part.name.endswith(f"-%22{etag}%22.part") and part.stat().st_size == size // 2
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert [request.status for request in asked(site)] == [200, 206]
    assert list(parts.iterdir()) == []


def test_the_next_attempt_starts_over_when_the_file_changed(
    site: Publisher, published: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_half(site, monkeypatch)
    sample.write_month(published / NAME, MONTH, seed=1, rows=900)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert [request.status for request in asked(site)] == [200, 200]
    assert list(parts.iterdir()) == []


def test_a_part_of_a_new_version_is_resumed_next_to_the_kept_old_one(
    site: Publisher, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract(GREEN, site.url, MONTH)
    sample.write_month(published / NAME, MONTH, seed=1, rows=900)
    leave_half(site, monkeypatch)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert [request.status for request in asked(site)] == [200, 200, 206]


def test_a_part_is_dropped_when_the_old_version_is_published_again(
    site: Publisher, published: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, old = extract(GREEN, site.url, MONTH), (published / NAME).read_bytes()
    sample.write_month(published / NAME, MONTH, seed=1, rows=900)
    leave_half(site, monkeypatch)
    (published / NAME).write_bytes(old)
    assert extract(GREEN, site.url, MONTH) == first
    assert list(parts.iterdir()) == []


def test_a_part_past_the_end_is_answered_with_416_and_starts_over(
    site: Publisher, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_half(site, monkeypatch)
    site.fail(NAME, 416)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert [request.status for request in asked(site)] == [200, 416, 200]


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "a bit": lambda part: part[:10] + bytes([part[10] ^ 1]) + part[11:],
    "emptied": lambda part: b"",
    "shorter": lambda part: part[:-1],
    "a hole": lambda part: part[:100] + bytes(len(part) - 100),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_part_that_was_damaged_on_disk_is_not_used(
    site: Publisher, published: Path, parts: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    leave_half(site, monkeypatch)
    (part,) = parts.glob("*.part")
    part.write_bytes(SPOILT[how](part.read_bytes()))
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert [request.status for request in asked(site)] == [200, 200]


@pytest.mark.parametrize("marks", ["", "12", "9 x\n", f"{10**17} {'0' * 64}\n", f"4 {'0' * 64}\n", "\udcff"])
def test_marks_that_were_damaged_on_disk_only_cost_a_download(
    site: Publisher, published: Path, parts: Path, monkeypatch: pytest.MonkeyPatch, marks: str
) -> None:
    leave_half(site, monkeypatch)
    (path,) = parts.glob("*.marks")
    path.write_bytes(os.fsencode(marks))
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert list(parts.iterdir()) == []


def test_a_part_is_used_up_to_its_last_good_mark(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "MARK_EVERY", 100)
    part = Partial.new(home / "parts", "key", '"v1"')
    for _ in range(5):
        part.write(b"x" * 60)
    part.leave()
    with part.path.open("r+b") as file:
        file.seek(250)
        # The marks are at 120, 240 and 300.
        file.write(b"?")
    found = Partial.leftover(home / "parts", "key")
    assert found is not None and found.rest is not None
    assert (found.rest.etag, found.rest.start) == ('"v1"', 240)
    assert found.sha256 == hashlib.sha256(b"x" * 240).hexdigest()
    found.discard()


def test_only_the_youngest_version_is_kept(home: Path) -> None:
    for age, etag in enumerate(('"young"', '"old"')):
        part = Partial.new(home / "parts", "key", etag)
        part.write(b"x")
        part.leave()
        os.utime(part.path, (1e9 - age, 1e9 - age))
    found = Partial.leftover(home / "parts", "key")
    assert found is not None and found.etag == '"young"'
    found.discard()
    assert list((home / "parts").iterdir()) == []


@pytest.mark.parametrize("etag", ['"a/b%..\\"', '"' + "x" * 500 + '"'], ids=["odd", "long"])
def test_an_etag_is_not_a_path(home: Path, etag: str) -> None:
    part = Partial.new(home / "parts", "key", etag)
    part.write(b"x")
    part.leave()
    found = Partial.leftover(home / "parts", "key")
    assert found is None if len(etag) > 200 else found is not None and found.etag == etag
    assert all(path.parent == home / "parts" for path in home.rglob("*.part"))
    if found:
        found.discard()


@pytest.mark.parametrize("failure", [BadFile, DiskFull])
def test_bytes_that_no_attempt_can_use_are_deleted(
    site: Publisher, parts: Path, monkeypatch: pytest.MonkeyPatch, failure: type[PermanentError]
) -> None:
    def fail(part: Partial, chunk: bytes) -> None:
        if failure is DiskFull:
            raise OSError(28, "No space left on device")
        raise BadFile("too large")

    monkeypatch.setattr(Partial, "write", fail)
    refusal(failure, lambda: extract(GREEN, site.url, MONTH))
    assert list(parts.iterdir()) == []


def test_a_part_stays_when_the_orchestrator_ends_its_task(
    site: Publisher, published: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orchestrators end tasks with exceptions of their own, or with Python's."""
    site.stall(NAME)
    monkeypatch.setattr("core.extract.web.TIMEOUT", SHORT)
    once = Transfer._once

    def interrupt(self: Transfer, unless: str | None) -> object:
        try:
            return once(self, unless)
        except SourceUnavailable:
            raise KeyboardInterrupt from None

    with monkeypatch.context() as patch:
        patch.setattr(Transfer, "_once", interrupt)
        with pytest.raises(KeyboardInterrupt):
            extract(GREEN, site.url, MONTH)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    assert starts(site) == [None, f"bytes={size // 2}-"]


# --- by several processes ---------------------------------------------------------------------------------------------


def fetching(site: Publisher, home: Path) -> subprocess.Popen[str]:
    """Start another process that fetches the month, and often records what has arrived."""
    script = (
        "import sys\nfrom core.extract import resume\nfrom core.extract import extract\n"
        "from core.month import Month\nfrom core.datasets import GREEN\n"
        "resume.MARK_EVERY = 1\n"
        "print(extract(GREEN, sys.argv[1], Month(2024, 1)).sha256)\n"
    )
    environment = {**os.environ, "TRIPTYCH_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-c", script, site.url], stdout=subprocess.PIPE, text=True, env=environment
    )


def written(parts: Path) -> int | None:
    return sum(path.stat().st_size for path in parts.glob("*.marks")) or None


def test_bytes_that_a_killed_process_fetched_are_not_fetched_again(
    site: Publisher, published: Path, home: Path, parts: Path, size: int
) -> None:
    stall = site.stall(NAME)
    with fetching(site, home) as child:
        try:
            assert stall.reached.wait(WAIT_S)
            until(lambda: written(parts), WAIT_S, 0.02, "bytes on disk")
        finally:
            child.send_signal(signal.SIGKILL)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    first, second = starts(site)
    assert first is None and second is not None and 0 < int(second[6:-1]) <= size // 2
    assert list(parts.iterdir()) == []


def unnamed(home: Path) -> list[Path]:
    """Return the files that are named after no address and no digest."""
    return list(home.rglob(".part-*"))


def test_a_part_without_a_version_of_a_killed_process_is_deleted_by_the_next(site: Publisher, home: Path) -> None:
    site.serve(NAME, etag="")
    stall = site.stall(NAME)
    with fetching(site, home) as child:
        try:
            assert stall.reached.wait(WAIT_S)
            until(lambda: unnamed(home) or None, WAIT_S, 0.02, "a file on disk")
        finally:
            child.send_signal(signal.SIGKILL)
    extract(GREEN, site.url, MONTH)
    assert unnamed(home) == []


def test_an_index_that_was_being_written_when_its_process_was_killed_leaves_nothing(
    site: Publisher, home: Path
) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom core.extract import extract\n"
        "from core.month import Month\nfrom core.datasets import GREEN\n"
        "replace = Path.replace\n"
        "def die(path, place):\n"
        "    if place.suffix == '.json':\n        os.kill(os.getpid(), 9)\n"
        "    return replace(path, place)\n"
        "Path.replace = die\n"
        "extract(GREEN, sys.argv[1], Month(2024, 1))\n"
    )
    environment = {**os.environ, "TRIPTYCH_HOME": str(home)}
    assert subprocess.run([sys.executable, "-c", script, site.url], env=environment).returncode == -signal.SIGKILL
    assert len(unnamed(home)) == 1
    extract(GREEN, site.url, MONTH)
    assert unnamed(home) == []


def test_a_file_that_another_process_is_writing_stays(site: Publisher, home: Path) -> None:
    under_way = Partial.new(home / "files" / "parts", "key", None)
    under_way.write(b"half")
    extract(GREEN, site.url, MONTH)
    under_way.write(b", and the rest")
    under_way.publish(home / "kept")
    assert (home / "kept").read_bytes() == b"half, and the rest"


def test_two_processes_at_once_do_not_disturb_each_other(
    site: Publisher, published: Path, home: Path, parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both find the same part; one of them continues it, the other one begins under a random name."""
    leave_half(site, monkeypatch)
    site.release_together([NAME, NAME])
    children = [fetching(site, home) for _ in range(2)]
    digests = [child.communicate(timeout=WAIT_S)[0].strip() for child in children]
    assert digests == [hashlib.sha256((published / NAME).read_bytes()).hexdigest()] * 2
    assert sorted(start or "" for start in starts(site)[1:]) == ["", f"bytes={(published / NAME).stat().st_size // 2}-"]
    assert list(parts.iterdir()) == []


def test_a_part_that_another_process_publishes_is_not_written_to(home: Path) -> None:
    part = Partial.new(home / "parts", "key", '"v1"')
    part.write(b"whole")
    part.flush()
    # It is locked.
    assert Partial.leftover(home / "parts", "key") is None
    second = Partial.new(home / "parts", "key", '"v1"')
    second.write(b"other")
    part.publish(home / "kept")
    second.leave()
    assert (home / "kept").read_bytes() == b"whole"
    assert sorted(path.name for path in home.iterdir()) == ["kept", "parts"]
