"""A step's log says what was fetched, what was not, and why a transfer was resumed or waited."""

from __future__ import annotations

import hashlib
import logging
import re
from pathlib import Path

import pytest

from core.datasets import GREEN
from core.errors import SourceUnavailable
from core.extract import MANIFEST, extract
from tests.logged import lines
from tests.publisher import Publisher
from tests.unit.fetching import MONTH, NAME, refusal


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "core")
    return caplog


def fetched(address: str, path: Path) -> str:
    """What the log says of a fetched file, as a pattern."""
    return rf"fetched {re.escape(address)}: {path.stat().st_size:,} bytes in \d+\.\d\d s"


def test_a_fetched_file_is_one_line_and_so_is_an_unchanged_one(
    site: Publisher, published: Path, log: pytest.LogCaptureFixture
) -> None:
    extract(GREEN, site.url, MONTH)
    (line,) = lines(log, "core.extract")
    assert re.fullmatch(fetched(f"{site.url}/{NAME}", published / NAME), line)
    extract(GREEN, site.url, MONTH)
    size = (published / NAME).stat().st_size
    assert lines(log, "core.extract") == [f"{site.url}/{NAME} is unchanged: using the kept file of {size:,} bytes"]


def test_each_resumption_is_a_line_with_its_cause(
    site: Publisher, published: Path, log: pytest.LogCaptureFixture
) -> None:
    site.cut(NAME, times=2)
    extract(GREEN, site.url, MONTH)
    first, second, last = lines(log, "core.extract")
    size = (published / NAME).stat().st_size
    assert first.startswith(f"resuming at byte {size // 2:,} (1 of 5): {site.url}/{NAME}: ")
    assert re.match(r"resuming at byte [\d,]+ \(2 of 5\): ", second)
    assert first.endswith(" closed the connection before the answer was whole") and last.startswith("fetched ")


def test_what_an_earlier_attempt_left_is_a_line(
    site: Publisher, published: Path, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("core.extract.transfer.CONTINUATIONS", 0)
        site.cut(NAME)
        refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
    half = (published / NAME).stat().st_size // 2
    extract(GREEN, site.url, MONTH)
    assert lines(log, "core.extract")[0] == f"{half:,} bytes of {site.url}/{NAME} are left from an earlier attempt"


def test_a_wait_that_the_publisher_asks_for_is_a_line(site: Publisher, log: pytest.LogCaptureFixture) -> None:
    site.fail(NAME, 429, retry_after_s=0)
    extract(GREEN, site.url, MONTH)
    assert lines(log, "core.extract")[0].startswith(f"waiting 0 s: {site.url}/{NAME} answered 429 and asks to wait 0 s")


def test_a_manifest_that_was_compared_is_a_line(published: Path, home: Path, log: pytest.LogCaptureFixture) -> None:
    digest = hashlib.sha256((published / NAME).read_bytes()).hexdigest()
    (published / MANIFEST).write_text(f"{digest}  {NAME}\n")
    extract(GREEN, str(published), MONTH)
    file, manifest, compared = lines(log, "core.extract")
    assert re.fullmatch(fetched(str(published / NAME), published / NAME), file)
    assert re.fullmatch(fetched(str(published / MANIFEST), published / MANIFEST), manifest)
    assert compared == f"{NAME} has the sha256 that {MANIFEST} promises"


def test_a_folder_with_an_odd_name_is_safe_in_a_log(
    published: Path, tmp_path: Path, home: Path, log: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "a\x1b[31m\nb"
    folder.mkdir()
    (folder / NAME).write_bytes((published / NAME).read_bytes())
    extract(GREEN, str(folder), MONTH)
    (line,) = lines(log, "core.extract")
    assert "\\x1b[31m\\nb" in line
