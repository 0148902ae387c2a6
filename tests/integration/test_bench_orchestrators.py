"""The benchmark of orchestrators takes every turn, and its page and the README's table show what it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.harness import measure
from benchmarks.orchestrators import backfill, page
from core.settings import settings

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The state folder below which the benchmark makes its own."""
    monkeypatch.setenv("TRIPTYCH_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


def test_each_turn_is_measured_and_shown(tmp_path: Path, home: Path) -> None:
    words = "--on plain --months 2024-01..2024-02 --rows 400 --rounds 1 --folder"
    assert backfill.main([*words.split(), str(tmp_path)]) == 0
    result = measure.read("backfill", tmp_path)
    assert [(row["turn"], row["months"]) for row in result["rows"]] == [("start", 2), ("load", 2), ("unchanged", 2)]
    assert all(row["wall_s"] > 0 and row["cpu_s"] > 0 for row in result["rows"])
    assert "| plain |" in page.page(result)
    head, lines = page.costs(result)
    assert head == ["", "plain"]
    assert all(len(line) == 2 for line in lines)
    # No benchmark leaves its server's folder behind.
    assert list(home.iterdir()) == []
