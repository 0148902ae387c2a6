"""What a step logged, for the tests of every suite."""

from __future__ import annotations

import logging

import pytest


def lines(log: pytest.LogCaptureFixture, package: str) -> list[str]:
    """Return the lines of a package's modules since the last look; each must be INFO, and safe for a terminal."""
    records = [record for record in log.records if record.name.startswith(f"{package}.")]
    assert all(record.levelno == logging.INFO and record.getMessage().isprintable() for record in records)
    messages = [record.getMessage() for record in records]
    log.clear()
    return messages
