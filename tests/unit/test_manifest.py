"""Where a manifest is next to the files, no file is accepted that differs from it."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.datasets import GREEN, ZONES
from core.errors import BadFile, SourceUnavailable
from core.extract import extract, sample
from core.extract.manifest import MANIFEST_MB
from tests.publisher import HTML_ERROR_PAGE, MANIFEST, Publisher
from tests.unit.fetching import LOOKUP, MONTH, NAME, assert_is, refusal

FLIPS = 100


def promise(folder: Path, *names: str, form: str = "{}  {}\n") -> None:
    """Write the manifest of these files, as they are now."""
    lines = [form.format(hashlib.sha256((folder / name).read_bytes()).hexdigest(), name) for name in names]
    (folder / MANIFEST).write_text("".join(lines), newline="")


@pytest.fixture(params=["folder", "http"])
def source(request: pytest.FixtureRequest, published: Path) -> str:
    """The published files as a folder and as a web site; buckets are in test_object_stores."""
    if request.param == "folder":
        return str(published)
    url: str = request.getfixturevalue("site").url
    return url


def test_what_the_manifest_promises_is_taken(source: str, published: Path) -> None:
    promise(published, NAME, LOOKUP)
    assert_is(extract(GREEN, source, MONTH), published / NAME)
    assert_is(extract(ZONES, source), published / LOOKUP)


@pytest.mark.parametrize("form", ["{} *{}\n", "{}  ./{}\n", "{}  {}\r\n", "\n{}  {}\n\n", "{}  {}"])
def test_a_manifest_may_be_written_in_every_way_that_sha256sum_has(source: str, published: Path, form: str) -> None:
    promise(published, NAME, form=form)
    assert_is(extract(GREEN, source, MONTH), published / NAME)
    digest = hashlib.sha256((published / NAME).read_bytes()).hexdigest()
    (published / MANIFEST).write_text(f"{digest.upper()}  {NAME}\n")
    assert_is(extract(GREEN, source, MONTH), published / NAME)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum here")
def test_what_sha256sum_writes_is_read(source: str, published: Path) -> None:
    subprocess.run(f"sha256sum -- * > {MANIFEST}", shell=True, cwd=published, check=True)
    assert_is(extract(GREEN, source, MONTH), published / NAME)


def test_other_bytes_are_refused_with_both_digests(source: str, published: Path) -> None:
    promise(published, NAME)
    promised = hashlib.sha256((published / NAME).read_bytes()).hexdigest()
    sample.write_month(published / NAME, MONTH, seed=1, rows=500)
    found = hashlib.sha256((published / NAME).read_bytes()).hexdigest()
    message = refusal(BadFile, lambda: extract(GREEN, source, MONTH))
    assert message.startswith(
        f"{NAME} has sha256 {found}, and {source}/{MANIFEST} promises {promised}: fetch the file again"
    )


def test_a_file_that_is_not_listed_is_refused(source: str, published: Path) -> None:
    promise(published, LOOKUP)
    message = refusal(BadFile, lambda: extract(GREEN, source, MONTH))
    assert (
        message
        == f"{NAME} is not in {source}/{MANIFEST}: if it is right, add it there (sha256sum {NAME} >> {MANIFEST})"
    )


DIGEST = "0" * 64

MALFORMED = {
    "a word": (b"hello\n", "line 1 is not `<sha256>  <name>`"),
    "a short digest": (f"\n{DIGEST[1:]}  {NAME}\n".encode(), "line 2 is not `<sha256>  <name>`"),
    "no name": (f"{DIGEST}  \n".encode(), "line 1 is not"),
    "an escaped name": (f"\\{DIGEST}  a\\nb\n".encode(), "line 1 is not"),
    "two digests": (f"{DIGEST}  {NAME}\n{'1' * 64}  {NAME}\n".encode(), "line 2 promises a second digest for"),
    "no text": (b"\xff\xfe", "is not text"),
    "empty": (b"", f"{MANIFEST} is empty"),
    "too large": (b"x" * int(MANIFEST_MB * 1e6 + 1), f"{MANIFEST_MB:g} MB is the limit"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_an_invalid_manifest_is_one_clear_line(source: str, published: Path, case: str) -> None:
    content, said = MALFORMED[case]
    (published / MANIFEST).write_bytes(content)
    message = refusal(BadFile, lambda: extract(GREEN, source, MONTH))
    assert said in message and MANIFEST in message


@pytest.mark.parametrize("status", [403, 404])
def test_a_publisher_may_have_no_manifest(site: Publisher, published: Path, status: int) -> None:
    site.fail(MANIFEST, status)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)


def test_an_unavailable_manifest_is_not_taken_for_a_missing_one(site: Publisher, published: Path) -> None:
    promise(published, NAME)
    site.fail(MANIFEST, 503)
    assert "answered 503" in refusal(SourceUnavailable, lambda: extract(GREEN, site.url, MONTH))
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)


def test_the_manifest_is_requested_once_and_sent_once(site: Publisher, published: Path) -> None:
    promise(published, NAME)
    for _ in range(2):
        extract(GREEN, site.url, MONTH)
    assert [(r.name, r.status) for r in site.requests] == [(NAME, 200), (MANIFEST, 200), (NAME, 304), (MANIFEST, 304)]


def test_a_kept_file_is_refused_when_the_promise_changes(site: Publisher, published: Path) -> None:
    extract(GREEN, site.url, MONTH)
    (published / MANIFEST).write_text(f"{DIGEST}  {NAME}\n")
    assert f"promises {DIGEST}" in refusal(BadFile, lambda: extract(GREEN, site.url, MONTH))
    promise(published, NAME)
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)


def test_a_refused_file_is_fetched_again(site: Publisher, published: Path) -> None:
    """It may have been damaged in transit, and an ETag does not show that."""
    promise(published, NAME)
    good = (published / NAME).read_bytes()
    site.send(NAME, good[:1_000] + bytes([good[1_000] ^ 1]) + good[1_001:])
    assert "promises" in refusal(BadFile, lambda: extract(GREEN, site.url, MONTH))
    assert_is(extract(GREEN, site.url, MONTH), published / NAME)


def test_the_manifest_is_the_one_next_to_the_file(published: Path) -> None:
    (published / "green").mkdir()
    (published / NAME).rename(published / "green" / NAME)
    (published / MANIFEST).write_text(f"{DIGEST}  {NAME}\n")
    assert extract(GREEN, str(published), MONTH).name == NAME
    (published / MANIFEST).rename(published / "green" / MANIFEST)
    assert "promises" in refusal(BadFile, lambda: extract(GREEN, str(published), MONTH))


# --- made in another folder -------------------------------------------------------------------------------------------


@pytest.fixture
def nested(published: Path) -> Path:
    """The month in a folder ``green`` below the published folder, which holds the lookup."""
    (published / "green").mkdir()
    (published / NAME).rename(published / "green" / NAME)
    return published / "green"


def assert_kept(source: str, folder: Path) -> None:
    """Check that the month is accepted with its promised bytes, and with no others."""
    assert_is(extract(GREEN, source, MONTH), folder / NAME)
    sample.write_month(folder / NAME, MONTH, seed=1, rows=500)
    message = refusal(BadFile, lambda: extract(GREEN, source, MONTH))
    assert message.startswith(f"{NAME} has sha256 ") and " promises " in message


@pytest.mark.parametrize("form", ["{}  green/{}\n", "{}  ./green/{}\n", "{} *published/green/{}\n"])
@pytest.mark.parametrize("named", ["green", ""], ids=["the folder", "the one above"])
@pytest.mark.parametrize("moved", [False, True], ids=["in place", "copied next to the files"])
def test_a_manifest_made_one_folder_above_counts(
    published: Path, nested: Path, form: str, named: str, moved: bool
) -> None:
    promise(nested, NAME, form=form)
    if not moved:
        (nested / MANIFEST).rename(published / MANIFEST)
    assert_kept(str(published / named), nested)


def test_the_folder_of_the_lookup_counts_too(published: Path, nested: Path) -> None:
    promise(published, LOOKUP, form="{}  published/{}\n")
    (published / MANIFEST).rename(published.parent / MANIFEST)
    assert_is(extract(ZONES, str(nested)), published / LOOKUP)
    (published / LOOKUP).write_bytes((published / LOOKUP).read_bytes() + b"\n")
    assert " promises " in refusal(BadFile, lambda: extract(ZONES, str(nested)))


def test_over_http_a_manifest_made_above_counts_when_it_is_next_to_the_files(site: Publisher, published: Path) -> None:
    promise(published, NAME, form="{}  trip-data/{}\n")
    assert_kept(site.url, published)


def test_a_folder_may_be_relative_to_the_working_directory(
    published: Path, nested: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise(nested, NAME, form="{}  green/{}\n")
    monkeypatch.chdir(nested)
    assert_kept(".", nested)


def test_a_manifest_of_other_folders_does_not_count(published: Path, nested: Path) -> None:
    promise(nested, NAME, form="{}  yellow/{}\n" + f"{DIGEST}  {NAME}\n" + f"{DIGEST}  x/{NAME}\n")
    (nested / MANIFEST).rename(published / MANIFEST)
    assert_is(extract(GREEN, str(nested), MONTH), nested / NAME)


def test_one_above_that_lists_the_folder_must_list_the_file(published: Path, nested: Path) -> None:
    (published / MANIFEST).write_text(f"{DIGEST}  green/other.parquet\n")
    message = refusal(BadFile, lambda: extract(GREEN, str(nested), MONTH))
    assert message == (
        f"{NAME} is not in {nested}/../{MANIFEST}: if it is right, add it there (sha256sum green/{NAME} >> {MANIFEST})"
    )


def test_a_manifest_that_names_another_folder_is_reported_as_such(source: str, published: Path) -> None:
    (published / MANIFEST).write_text(f"{DIGEST}  elsewhere/{NAME}\n")
    message = refusal(BadFile, lambda: extract(GREEN, source, MONTH))
    assert message == (
        f"{source}/{MANIFEST} lists elsewhere/{NAME}, and not {NAME}: it was made in another folder; "
        "make it in its own "
        f"(sha256sum * > {MANIFEST})"
    )


# --- a page under its name --------------------------------------------------------------------------------------------


def test_a_page_for_missing_files_is_not_a_manifest(site: Publisher, published: Path, home: Path) -> None:
    """Single-page apps and login portals send one. A page in place of the file is still refused."""
    site.page(MANIFEST)
    for _ in range(2):
        assert_is(extract(GREEN, site.url, MONTH), published / NAME)
    site.page(NAME)
    assert "is a web page" in refusal(BadFile, lambda: extract(GREEN, site.url, MONTH))


def test_a_page_for_missing_files_hides_no_file_in_another_place(site: Publisher, published: Path) -> None:
    # The lookup is in the third of its places.
    site.send(LOOKUP, HTML_ERROR_PAGE, times=2)
    assert_is(extract(ZONES, site.url), published / LOOKUP)


def test_a_page_in_a_folder_is_named_with_what_to_do(published: Path) -> None:
    (published / MANIFEST).write_bytes(HTML_ERROR_PAGE)
    message = refusal(BadFile, lambda: extract(GREEN, str(published), MONTH))
    assert message == (
        f"{MANIFEST} is a web page of {len(HTML_ERROR_PAGE)} bytes: write it with `sha256sum * > {MANIFEST}`, or "
        "delete it: none is needed"
    )


# --- bit rot ----------------------------------------------------------------------------------------------------------


def read(path: Path) -> pa.Table | None:
    """Return the table, or None when the reader notices that something is wrong."""
    try:
        table = pq.read_table(path)
        table.validate(full=True)
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        return None
    return table


def bits(table: pa.Table) -> pa.Table:
    """Return the table with doubles as their bits, because NaN is not equal to itself."""
    doubles = {name for name in table.column_names if pa.types.is_floating(table[name].type)}
    plain = {
        n: table[n].fill_null(0).combine_chunks().view(pa.int64()) if n in doubles else table[n]
        for n in table.column_names
    }
    return pa.table(plain | {f"no {name}": table[name].is_null() for name in doubles})


def flips_of_column_data(path: Path) -> list[tuple[int, int]]:
    """Return byte and bit of each flip, anywhere in the columns' chunks, from a fixed seed."""
    group = pq.read_metadata(path).row_group(0)
    chunks = [group.column(number) for number in range(group.num_columns)]
    end = max(
        (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size for chunk in chunks
    )
    dice = random.Random(2009)
    return [(dice.randrange(4, end), dice.randrange(8)) for _ in range(FLIPS)]


def check_flips(original: Path, folder: Path) -> dict[str, int]:
    """Flip one bit at a time; return how many flips each of the checks noticed, and how many were silent."""
    shutil.copyfile(original, folder / NAME)
    promise(folder, NAME)
    good, table = bytearray(original.read_bytes()), pq.read_table(original)
    found = dict.fromkeys(("loud", "silent", "row count", "manifest"), 0)
    for place, bit in flips_of_column_data(original):
        good[place] ^= 1 << bit
        (folder / NAME).write_bytes(good)
        good[place] ^= 1 << bit
        rotten = read(folder / NAME)
        found["loud"] += rotten is None
        silent = rotten is not None and not bits(rotten).equals(bits(table))
        found["silent"] += silent
        found["row count"] += silent and rotten is not None and rotten.num_rows != table.num_rows
        found["manifest"] += f"{NAME} has sha256" in refusal(BadFile, lambda: extract(GREEN, str(folder), MONTH))
    return found


def test_the_manifest_catches_every_flipped_bit_and_the_row_count_none_of_the_silent_ones(
    published: Path, tmp_path: Path
) -> None:
    """In a ZSTD file of a real month's shape, most flips in the columns change values without any error."""
    sample.write_month(tmp_path / NAME, MONTH, rows=20_000)
    assert pq.read_metadata(tmp_path / NAME).row_group(0).column(0).compression == "ZSTD"
    found = check_flips(tmp_path / NAME, published)
    print(found)
    assert found["manifest"] == FLIPS
    assert found["silent"] >= FLIPS // 2 and found["row count"] == 0


def test_the_same_holds_for_a_real_month(real_data: Path, published: Path) -> None:
    found = check_flips(real_data / "green" / "green_tripdata_2024-10.parquet", published)
    print(found)
    assert found["manifest"] == FLIPS
    assert found["silent"] >= FLIPS // 2 and found["row count"] == 0
