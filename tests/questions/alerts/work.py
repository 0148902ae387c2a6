"""What the tasks do, and how an alert reaches the question. Cheap to import, because DAG files import it."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

from core.errors import PermanentError
from core.settings import Settings, settings

LATE_S = 20
"""How long a run of `alerts_late` may take."""

OLD_S = 60
"""How old the table may be: the shortest time that Dagster's freshness policy takes."""

LIMIT_S = 300.0
"""How long a task waits that is not told to go on: longer than the question does."""


def folder(at: Settings) -> Path:
    """Return the folder that the tasks share with the question.

    It has the address that alerts are posted to (`endpoint`), a line of JSON for each task that fails or waits
    (`notes`), and the name of each pipeline whose next run is held, such as `alerts_late.hold`.
    """
    return at.home / "alerts"


def endpoint() -> str:
    """Return the address that alerts are posted to."""
    return (folder(settings()) / "endpoint").read_text()


def tell(alert: str, pipeline: str) -> None:
    """Post an alert to the endpoint: what a webhook of a chat or a pager takes."""
    body = json.dumps({"alert": alert, "pipeline": pipeline}).encode()
    with urllib.request.urlopen(urllib.request.Request(endpoint(), body, method="POST"), timeout=10):
        pass


async def tell_late(context: dict[str, Any]) -> None:
    """Tell of a run that is late. Airflow's triggerer imports this by its name; the context has the run, as JSON."""
    # It blocks the triggerer's loop for some milliseconds: the endpoint is on this machine.
    tell("late", context["dag_run"]["dag_id"])


def note(pipeline: str, what: str) -> None:
    """Write down when a task fails or begins, and in which process."""
    with (folder(settings()) / "notes").open("a") as file:
        file.write(json.dumps({"pipeline": pipeline, "what": what, "pid": os.getpid(), "at": time.time()}) + "\n")


def held(pipeline: str) -> None:
    """Wait for as long as the question holds the runs of a pipeline."""
    note(pipeline, "began")
    end = time.monotonic() + LIMIT_S
    while (folder(settings()) / f"{pipeline}.hold").exists() and time.monotonic() < end:
        time.sleep(0.1)


def fail(pipeline: str) -> None:
    """Fail, once the question lets it."""
    held(pipeline)
    note(pipeline, "fails")
    raise PermanentError(f"{pipeline} was told to fail")


def die(pipeline: str) -> None:
    """End as a process ends that runs out of memory."""
    note(pipeline, "fails")
    os.kill(os.getpid(), signal.SIGKILL)


def load() -> int:
    """Return the number of rows that were loaded: none, because the file was empty."""
    return 0
