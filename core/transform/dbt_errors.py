"""What stopped a dbt command, as one of `core.errors`: dbt itself says it in words only."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess

from core.database import limit_reached
from core.errors import Busy, DatabaseUnavailable, DiskFull, TransformFailed, TransientError, TriptychError
from core.transform.manifest import Artifact, DbtTest


def raise_if_stopped(
    process: CompletedProcess[str],
    results: Sequence[Artifact],
    tests: Mapping[str, DbtTest],
    folder: Path,
    password: str,
) -> None:
    """Raise when the build has not run to its end: dbt was killed or interrupted, or a model or a unit test failed.

    `results` are those of its ``run_results.json``, none when it wrote no whole one.
    """
    if process.returncode < 0:
        raise TransientError(
            f"dbt was ended by {signal.Signals(-process.returncode).name} before it was done; run again"
        )
    # An interrupted dbt writes down what it has done until then, as if that was all. Failed nodes alone exit with 1.
    if process.returncode > 1 and (results or "KeyboardInterrupt" in process.stdout):
        raise TransientError("dbt was interrupted before it was done; run again")
    for result in results:
        node = result["unique_id"]
        if result["status"] == "error" or (result["status"] == "fail" and tests[node].kind == "unit"):
            name = tests[node].name if node in tests else node.rpartition(".")[2]
            raise _error(f"{node.partition('.')[0]} {name}: {one_line(result['message'])}", folder, password)
    if not results:
        said = last_event(process.stdout) or one_line(process.stderr[-300:])
        raise _error(said or f"exit code {process.returncode}, without a word", folder, password)


_CONNECTION_LOST = (
    r"connection to server|closed the connection|terminating connection|the database system is"
    r"|connection already closed|could not (receive|send) data"
)


def _error(message: str, folder: Path, password: str) -> TriptychError:
    """Return the error for dbt's message. Its class matters: it decides whether the step is tried again."""
    text = f"dbt: {message.replace(password, '***') if password else message}"
    if re.search(r"No space left on device|could not extend file", message):
        return DiskFull(f"{text}; make room there, then run again")
    if remedy := limit_reached(message):
        return DatabaseUnavailable(f"{text}; {remedy}")
    if re.search(r"deadlock detected|lock timeout", message):
        return Busy(f"{text}; another session holds a lock")
    if re.search(_CONNECTION_LOST, message):
        return DatabaseUnavailable(f"{text}; check that the server runs")
    return TransformFailed(f"{text}; the whole message is in {folder / 'dbt.log'}")


def last_event(output: str) -> str:
    """Return the last event that dbt printed, on one line. Text before the first time of day is not dbt's."""
    events = re.split(r"^\d\d:\d\d:\d\d  ", output, flags=re.MULTILINE)[1:]
    return one_line(events[-1]) if events else ""


def one_line(message: str) -> str:
    """Return dbt's message without the heading that names the node, the line breaks, and the file names."""
    lines = [line.strip() for line in message.splitlines()]
    told = [
        line
        for line in lines
        if line and not re.match(r"compiled code at|\^|> in macro|> called by|\w+ Error( in|$)", line)
    ]
    return " ".join(told or lines)[:400]
