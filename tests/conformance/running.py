"""Ask one cell: so often as it says, and with a log of what the orchestrator recorded and said meanwhile."""

from __future__ import annotations

import datetime as dt
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from core.errors import PermanentError, masked, printable
from core.lab import logs
from core.lab.protocol import Description, Pipeline, RunRecord
from core.settings import ROOT
from tests.conformance.cases import PACKAGE, Case, Observed, verdict
from tests.conformance.cells import Cell
from tests.questions.asking import Asking

AS_SHIPPED = (
    "airflow.core_mp_start_method",
    "dagster.run_start_method",
    "prefect.command",
    "prefect.warm_engine",
)
"""The settings that are left as they are shipped: how a run's process is started. A fault in one is then the
orchestrator's, and not of the lab's faster way. The pauses between two looks stay short: they change when, not what."""

LINES = 40
"""How many lines of the services' logs are kept of a cell, the last ones."""

LENGTH = 200
"""At how many characters a line of a log is cut."""


def settings_of(description: Description) -> dict[str, str]:
    """Return the settings that the lab changes, with the values that a cell runs with."""
    tuned = {each.name: each.shipped if each.name in AS_SHIPPED else each.value for each in description.tuned}
    return tuned | {each.name: each.value for each in description.guards}


def pipelines_of(case: Case) -> list[Pipeline]:
    """Return the pipelines of a case."""
    declared: list[Pipeline] = import_module(f"{PACKAGE}.{case.name}.pipelines").PIPELINES
    return declared


def wanted(case: Case, description: Description, repeat: int | None) -> dict[str, Any]:
    """Return what a recorded cell must say for it not to be asked again."""
    tool = description.name
    times = 0 if case.code(tool) is None else repeat or case.repeat
    settings = settings_of(description)
    return {"version": description.version, "settings": settings, "code": case.fingerprint(tool), "n": times}


def ask(case: Case, asking: Asking, repeat: int | None = None) -> tuple[Cell, str]:
    """Ask a case of an orchestrator, and return its cell and its log.

    Raise what keeps it from being observed: such a cell is not recorded.
    """
    tool, began = asking.orchestrator, time.monotonic()
    description = asking.bench.description(tool)
    like = wanted(case, description, repeat)
    if not like["n"]:
        check_absence(asking.runs.orchestrator.python, case.expected[tool].absent)
        observed: list[Observed] = []
        log = f"{', '.join(case.expected[tool].absent)}: no such name in {tool} {description.version}\n"
    else:
        # The start of the services is not part of the cell.
        asking.bench.lab.start([asking.runs.orchestrator])
        began, marks = time.monotonic(), sizes(asking)
        since = dt.datetime.now(dt.UTC)
        observed = [dict(case.observe(asking)) for _ in range(like["n"])]
        log = trimmed(asking, [*run_lines(case, asking, since), *said(asking, marks)])
    found, right, times = verdict(case, tool, observed)
    seconds, at = round(time.monotonic() - began, 1), dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    cell = Cell(
        case.name, tool, like["version"], like["settings"], found, right, times,
        [dict(each) for each in observed], seconds, at, like["code"],
    )  # fmt: skip
    return cell, log


PROBE = """
import importlib, importlib.util, sys
for name in sys.argv[1:]:
    module, _, attribute = name.rpartition(".")
    try:
        found = hasattr(importlib.import_module(module), attribute) or importlib.util.find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found:
        sys.exit(f"{name} exists")
"""


def check_absence(python: Path, names: Sequence[str]) -> None:
    """Raise `PermanentError` when the environment of `python` has one of these names: the case needs code then."""
    done = subprocess.run([python, "-c", PROBE, *names], capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        line = done.stderr.strip().splitlines()[-1:] or ["the probe failed"]
        raise PermanentError(f"{line[0]}: the construct is not absent any more, so write the case's code for it")


# ------------------------------------------------------------------------------------------------ the log


def sizes(asking: Asking) -> dict[Path, int]:
    """Return how long the logs of the orchestrator's services are now."""
    found = logs.find(asking.bench.lab.settings, [asking.orchestrator])
    return {path: path.stat().st_size for path in found.values()}


def run_lines(case: Case, asking: Asking, since: dt.datetime) -> Iterator[str]:
    """Yield a line for each run of the case's pipelines that was created since then, oldest first."""
    runs = [run for each in pipelines_of(case) for run in asking.runs.newest(each.name, 50)]
    for run in sorted(runs, key=lambda run: str(run.created_at)):
        if run.created_at and dt.datetime.fromisoformat(run.created_at) >= since:
            yield run_line(run)


def run_line(run: RunRecord) -> str:
    """Return what an orchestrator recorded of a run."""
    about = f"{run.pipeline} {run.partition or '(no month)'}: {run.state}, {run.cause}"
    times = ", ".join(f"{name} {value[11:19]}" for name in TIMES if (value := getattr(run, name)))
    return f"{about}, {times}{f': {run.error}' if run.error else ''}"


TIMES = ("created_at", "started_at", "ended_at")


def said(asking: Asking, marks: Mapping[Path, int]) -> Iterator[str]:
    """Yield the lines that the services logged since `marks`, without those that say that all is well."""
    for name, path in logs.find(asking.bench.lab.settings, [asking.orchestrator]).items():
        with path.open("rb") as file:
            file.seek(marks.get(path, 0))
            lines = file.read().decode(errors="replace").splitlines()
        yield from (f"{name}: {line}" for line in lines if MATTERS.search(line))


MATTERS = re.compile(r"\b(warn(ing)?|error|fail(ed|ure)?|critical|exception|crash(ed)?|cancel\w*|terminat\w*)\b", re.I)

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r"\b(?:127\.0\.0\.1|localhost):\d+")
_PATH = re.compile(r"(?<![\w<>.:/])/(?:[\w.+@~-]+/)+[\w.+@~-]*")


def trimmed(asking: Asking, lines: Iterable[str]) -> str:
    """Return the last of these lines, cut, without a secret and without what only this machine has."""
    settings = asking.bench.lab.settings
    places = {str(settings.home): "<state>", str(asking.bench.work): "<work>", str(ROOT): "<checkout>"}
    return "".join(f"{clean(line, places, asking.bench.password)}\n" for line in [*lines][-LINES:])


def clean(line: str, places: Mapping[str, str], password: str) -> str:
    """Return a line of a log as it may be published."""
    text = masked(_COLORS.sub("", line)).replace(password, "***")
    for place, name in places.items():
        text = text.replace(place, name)
    text = text.replace(sys.prefix, "<environment>").replace(socket.gethostname(), "<host>")
    text = _PATH.sub("<path>", _ADDRESS.sub("<address>", text))
    return printable(text.rstrip())[:LENGTH]
