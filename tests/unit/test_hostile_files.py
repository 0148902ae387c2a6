"""Hostile files: each is refused in a clear line, or loaded, in time and within bounded memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.datasets import GREEN, ZONES, Dataset
from core.errors import BadFile, TriptychError
from core.extract import extract
from core.load import batches, limits
from core.settings import ROOT
from tests.fuzz import csv_files, harness, known, parquet_files
from tests.unit.fetching import refusal


def load(folder: Path, dataset: Dataset, content: bytes) -> int:
    """Write the file, and read it as a load does; return the number of its rows."""
    name = parquet_files.NAME if dataset.monthly else csv_files.NAME
    (folder / name).write_bytes(content)
    month = parquet_files.MONTH if dataset.monthly else None
    file = extract(dataset, str(folder), month)
    return sum(batch.num_rows for batch in batches(dataset, file, month))


def assert_refused(folder: Path, dataset: Dataset, make: Callable[[], bytes], expected: known.Expected) -> None:
    kind, said = expected
    content = make()
    with pytest.raises(TriptychError) as caught:
        load(folder, dataset, content)
    assert type(caught.value) is kind and said in str(caught.value)
    assert harness.unclear(caught.value, parquet_files.NAME if dataset.monthly else csv_files.NAME) == ""


@pytest.mark.parametrize("case", known.CASES)
def test_a_hostile_month_is_refused(home: Path, tmp_path: Path, case: str) -> None:
    assert_refused(tmp_path, GREEN, *known.CASES[case])


@pytest.mark.parametrize("case", known.LOOKUPS)
def test_a_hostile_lookup_is_refused(home: Path, tmp_path: Path, case: str) -> None:
    assert_refused(tmp_path, ZONES, *known.LOOKUPS[case])


@pytest.mark.parametrize("encoding", parquet_files.ENCODINGS)
def test_every_encoding_is_loaded(home: Path, tmp_path: Path, encoding: str) -> None:
    assert load(tmp_path, GREEN, parquet_files.good()[encoding]) == len(parquet_files.table())


def test_a_file_that_the_fuzzer_builds_by_hand_is_readable(home: Path, tmp_path: Path) -> None:
    """Otherwise its bombs would be refused for another reason."""
    assert load(tmp_path, GREEN, parquet_files.crafted(parquet_files.repeated(300), 300, groups=3)) == 900


def test_a_month_that_arrow_stops_reading_early_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit in a page's header makes Arrow return no rows and no error, with or without the check of the header."""
    content = known.CASES["one bit that empties the month"][0]()
    monkeypatch.setattr(limits, "check", lambda path, file: [])
    message = refusal(BadFile, lambda: load(tmp_path, GREEN, content))
    assert f"declares {len(parquet_files.table())} rows, and holds 0" in message


def test_a_month_of_too_many_pages_is_refused(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PAGES", 30)
    message = refusal(BadFile, lambda: load(tmp_path, GREEN, parquet_files.good()["brotli"]))
    assert "declares 31 pages, and 30 is the limit" in message


def test_the_longest_text_that_is_allowed_is_loaded(home: Path, tmp_path: Path) -> None:
    rows = 20_000
    assert load(tmp_path, GREEN, parquet_files.crafted(parquet_files.repeated(rows, b"N" * 256), rows)) == rows


def test_every_real_month_is_far_below_the_limits(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("FOOTER_MB", "ROWS", "PAGES", "PAGES_MB", "DICTIONARIES_MB"):
        monkeypatch.setattr(limits, limit, getattr(limits, limit) / 3)
    for path in (real_data / "green").glob("*.parquet"):
        assert limits.check(path, path.name) != []


# --- in processes of their own: what would end this one, or fill its memory, is a finding there -----------------------


def fuzz(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_known_files_are_within_the_bounds(tmp_path: Path) -> None:
    assert "SchemaDrift" in fuzz("--known", "--findings", str(tmp_path))


def test_three_hundred_files_of_a_seed_are_refused_or_loaded(tmp_path: Path) -> None:
    summary = fuzz("--cases", "300", "--seed", "7", "--findings", str(tmp_path))
    assert summary.splitlines()[-1].split()[:2] == ["all", "300"]


def test_a_finding_is_reported_and_kept(tmp_path: Path) -> None:
    """A fuzzer that can't fail is a defect."""
    script = (
        "import sys\nfrom tests.fuzz import __main__, harness\n"
        "harness.MEMORY_MB = -1\nsys.exit(__main__.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", script, "--cases", "2", "--seed", "7", "--findings", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 1 and "again: python -m tests.fuzz --seed 7 --case 0" in done.stdout
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2
