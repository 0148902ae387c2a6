"""The tasks of the question `recovery` do as they are told, and write down what they do."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from core.errors import PermanentError, SourceUnavailable
from tests.questions.recovery import work

MONTH = "2024-06"


@pytest.fixture
def here(home: Path) -> Path:
    """The folder by which the tasks are told what to do."""
    folder = home / "recovery"
    folder.mkdir(parents=True)
    return folder


def noted(here: Path) -> list[str]:
    """Return what the tasks of the month have written down."""
    return [json.loads(line)["what"] for line in (here / f"{MONTH}.calls").read_text().splitlines()]


def test_a_task_fails_as_often_as_it_is_told(here: Path) -> None:
    (here / f"{MONTH}.fetch").write_text("fail 2 times")
    for _ in range(2):
        with pytest.raises(SourceUnavailable, match="2024-06: fetch was told to fail 2 times"):
            work.fetch(MONTH, "")
    assert work.fetch(MONTH, "").endswith("published/green_tripdata_2024-06.parquet")
    assert noted(here) == ["began", "left"] * 3


def test_a_task_fails_for_good_until_it_is_repaired(here: Path) -> None:
    told = here / f"{MONTH}.report"
    told.write_text("fail")
    with pytest.raises(PermanentError, match="2024-06: report was told to fail"):
        work.report(MONTH, 1, "")
    told.unlink()
    work.report(MONTH, 1, "")
    assert noted(here) == ["began", "left"] * 2


def test_a_task_that_hangs_ticks_and_leaves_when_it_is_interrupted(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    (here / f"{MONTH}.write").write_text("hang")
    with pytest.raises(KeyboardInterrupt):
        work.write(MONTH, "plain")
    assert noted(here) == ["began", "ticks", "left"]


def test_the_version_of_the_code_is_what_was_deployed(here: Path) -> None:
    assert work.version() == ""
    (here / "version").write_text("2")
    assert work.version() == "2"
