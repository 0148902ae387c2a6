"""Fixtures of the tests that fetch files. What they share besides is in `tests.unit.fetching`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.extract import sample
from core.settings import settings
from tests.publisher import Publisher
from tests.unit.fetching import MONTH


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of our own; on the way out, nothing unfinished may lie in it."""
    monkeypatch.setenv("TRIPTYCH_HOME", str(tmp_path / "state"))
    settings.cache_clear()
    yield tmp_path / "state"
    monkeypatch.undo()
    settings.cache_clear()
    assert list(tmp_path.rglob(".*")) == []


@pytest.fixture
def published(tmp_path: Path, home: Path) -> Path:
    """A folder with the zone lookup and one month."""
    sample.ensure(tmp_path / "published", [MONTH], rows=500)
    return tmp_path / "published"


@pytest.fixture
def site(published: Path) -> Iterator[Publisher]:
    with Publisher(published) as running:
        yield running


@pytest.fixture
def command_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder, not made yet, of commands that a test runs in this process; no warehouse is named."""
    monkeypatch.setenv("TRIPTYCH_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("TRIPTYCH_DSN", raising=False)
    monkeypatch.setattr("core.lab.cli.settings", settings.__wrapped__)
    return tmp_path / "state"
