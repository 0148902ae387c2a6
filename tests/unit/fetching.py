"""Shared by the tests that fetch files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import TriptychError
from core.extract import Extracted, sample
from core.month import Month
from core.settings import settings

MONTH = Month(2024, 1)
NAME = f"green_tripdata_{MONTH}.parquet"
LOOKUP = sample.ZONES


def refusal(kind: type[TriptychError], attempt: Callable[[], object]) -> str:
    """Return the message of a failed attempt: of exactly this class, and one line."""
    with pytest.raises(TriptychError) as caught:
        attempt()
    assert type(caught.value) is kind, caught.value
    assert str(caught.value).isprintable()
    return str(caught.value)


def assert_is(found: Extracted, original: Path) -> None:
    content = original.read_bytes()
    assert found.path.read_bytes() == content
    assert (found.name, found.bytes) == (original.name, len(content))
    assert found.sha256 == hashlib.sha256(content).hexdigest()


def set_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Set a variable, and make `core.settings` read it."""
    monkeypatch.setenv(name, value)
    settings.cache_clear()
