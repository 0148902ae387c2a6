"""Ask one cell: so often as it says, and with a log of what the orchestrator recorded and said meanwhile."""

from __future__ import annotations

import datetime as dt
import re
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
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
        files = check_absence(asking.runs.orchestrator.python, tool, case.expected[tool].absent)
        observed: list[Observed] = []
        named = f"has {case.expected[tool].absent!r} in its name"
        log = f"no function and no class of {tool} {description.version} {named}: {files} files were read\n"
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


def check_absence(python: Path, package: str, word: str) -> int:
    """Return how many files of a package were read, and none of them defines something with `word` in its name.

    Raise `PermanentError` naming what does: the construct is there, so the case needs code. `python` is that of the
    environment in which the package is.
    """
    defined = re.compile(rf"^\s*(?:async )?(?:def|class) (\w*{re.escape(word)}\w*)", re.IGNORECASE | re.MULTILINE)
    paths = sorted(python.parent.parent.glob(f"lib/python*/site-packages/{package}/**/*.py"))
    if not paths:
        raise PermanentError(f"there is no package {package} in {python.parent.parent.name}")
    for path in paths:
        if found := defined.search(path.read_text(errors="replace")):
            raise PermanentError(f"{package} defines {found[1]}: the construct is not absent, so write the case's code")
    return len(paths)


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


MATTERS = re.compile(r"\b(warn(ing)?|error|fail(ed|ure)?|critical|exception|crash(ed)?)\b", re.I)

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
