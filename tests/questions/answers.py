"""The answers of every question: docs/guide/data/<question>.json, an object per row, and who was asked when."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from core.lab.protocol import write_json
from tests.questions.asking import Question, Row
from tests.questions.tables import ASKED, DATA

Recorded = list[dict[str, Any]]


def path_of(name: str) -> Path:
    """Return where the answers of a question are."""
    return DATA / f"{name}.json"


def read(name: str) -> Recorded:
    """Return the recorded rows of a question; none before it was first asked."""
    path = path_of(name)
    rows: Recorded = json.loads(path.read_text()) if path.exists() else []
    return rows


def recorded(name: str, row: Row, orchestrator: str) -> Any:
    """Return the recorded answer of an orchestrator to a row; None when there is none."""
    return next((each.get(orchestrator) for each in read(name) if is_of(each, row)), None)


def is_recorded(name: str, orchestrator: str) -> bool:
    """Return whether an orchestrator was asked a question at all."""
    return orchestrator in _asked().get(name, {})


def is_of(recorded_row: Mapping[str, Any], row: Row) -> bool:
    """Return whether the recorded row is this one."""
    return all(recorded_row.get(column) == value for column, value in row.key.items())


def write(question: Question, orchestrator: str, answers: Mapping[int, Any], version: str, seconds: float) -> None:
    """Record an orchestrator's answers, by the number of the row; those of the others stay as they are."""
    # Several orchestrators may be asked at the same time, each by a command of its own.
    with FileLock(Path(tempfile.gettempdir(), "triptych-answers.lock")):
        _write(question, orchestrator, answers, version, seconds)


def _write(question: Question, orchestrator: str, answers: Mapping[int, Any], version: str, seconds: float) -> None:
    before = read(question.name)
    rows = []
    for number, row in enumerate(question.rows):
        old = next((each for each in before if is_of(each, row)), {})
        given = {name: old[name] for name in question.on if name in old}
        if number in answers:
            given[orchestrator] = answers[number]
        native = {name: row.how.get(name, "native") for name in question.on}
        rows.append(
            {**row.key, "expected": row.expected, **{name: given.get(name) for name in question.on}, "native": native}
        )
    DATA.mkdir(parents=True, exist_ok=True)
    write_json(path_of(question.name), rows)
    when = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    facts = {"version": version, "at": when, "seconds": round(seconds, 1), "machine": machine()}
    asked = _asked()
    asked.setdefault(question.name, {})[orchestrator] = facts
    write_json(path_of(ASKED), dict(sorted(asked.items())))


def _asked() -> dict[str, Any]:
    asked: dict[str, Any] = json.loads(path_of(ASKED).read_text()) if path_of(ASKED).exists() else {}
    return asked


def machine() -> str:
    """Return what the answers were observed on: figures are read beside it."""
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
