"""What the tasks do, and how the question tells them to: by files. Cheap to import, because DAG files import it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import PermanentError, SourceUnavailable
from core.settings import Settings, settings

TIMEOUT_S = 20
"""How long a run of `timed` may take."""

LIMIT_S = 400.0
"""How long a task hangs when nothing ends it: longer than the question waits."""

SLEEP = "time.sleep"
"""What the command line of a program holds that a task waits for."""

TICK_S = 0.2
"""How often a task that hangs says that it still does."""


def folder(at: Settings) -> Path:
    """Return the folder that the tasks share with the question.

    It has the published files and the version of the code, and for each month, such as 2024-01,

        2024-01.calls   a line of JSON for each task that began, or left: what it writes here it writes in `finally`
        2024-01.load    what the step `load` is to do before its work: ``fail``, ``fail 3 times``, ``hang`` or ``wait``
    """
    return at.home / "recovery"


def published(at: Settings) -> Path:
    """Return the folder of the published files."""
    return folder(at) / "published"


def schema_of(orchestrator: str) -> str:
    """Return the schema that the runs of an orchestrator write."""
    return f"recovery_{orchestrator}"


def version() -> str:
    """Return the version of the code. A pipeline's file asks when it is imported: what it sees is what it would be."""
    path = folder(settings()) / "version"
    return path.read_text() if path.exists() else ""


def fetch(month: str, code: str) -> str:
    """Return the path of the month's file."""
    with called("fetch", month, code):
        return str(published(settings()) / f"green_tripdata_{month}.parquet")


def load(month: str, file: str, loader: str, code: str, step: str = "load") -> int:
    """Publish the rows of the file as those of the month, in one transaction, and return how many there are."""
    from core import pipeline
    from core.month import Month
    from core.run import Run

    with called(step, month, code):
        run = Run(source=str(Path(file).parent), schema=schema_of(loader), loader=loader)
        return pipeline.ingest_month(run, Month.parse(month)).rows or 0


def report(month: str, rows: int, code: str) -> None:
    """Stand for a report on the month."""
    with called("report", month, code):
        assert rows


def write(month: str, loader: str) -> int:
    """Do as `load`, without a task before it."""
    return load(month, str(published(settings()) / f"green_tripdata_{month}.parquet"), loader, "", step="write")


@contextmanager
def called(step: str, month: str, code: str) -> Iterator[None]:
    """Write down that a step begins, with which version of the code, and that it leaves; do as it is told."""
    note(step, month, "began", code)
    try:
        obey(step, month)
        yield
    finally:
        note(step, month, "left", code)


def note(step: str, month: str, what: str, code: str = "") -> None:
    """Write down what a step does."""
    line = {"step": step, "what": what, "code": code, "pid": os.getpid(), "at": time.time()}
    with (folder(settings()) / f"{month}.calls").open("a") as file:
        file.write(json.dumps(line) + "\n")


def obey(step: str, month: str) -> None:
    """Do what a step is told to do before its work, if anything.

    Raise `PermanentError` for ``fail``, and for ``fail 3 times`` so often `SourceUnavailable`, which is transient.
    """
    here = folder(settings())
    told = (here / f"{month}.{step}").read_text() if (here / f"{month}.{step}").exists() else ""
    if told == "fail":
        raise PermanentError(f"{month}: {step} was told to fail")
    if told == "hang":
        hang(step, month)
    if told == "wait":
        # As a task waits for dbt.
        subprocess.run([sys.executable, "-c", f"import time; {SLEEP}({LIMIT_S})"], check=True)
    if told.endswith("times"):
        lines = map(json.loads, (here / f"{month}.calls").read_text().splitlines())
        begun = sum((line["step"], line["what"]) == (step, "began") for line in lines)
        if begun <= int(told.split()[1]):
            raise SourceUnavailable(f"{month}: {step} was told to fail {told.removeprefix('fail ')}")


def hang(step: str, month: str) -> None:
    """Work on and on, until something ends it."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        note(step, month, "ticks")
        time.sleep(TICK_S)
