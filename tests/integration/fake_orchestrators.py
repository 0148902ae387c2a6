"""Orchestrators of a few lines, made for one test each: they fail on demand as real ones do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from core.lab.registry import Orchestrator

RUNNER = """
import os, signal, subprocess, sys, time
from pathlib import Path
from core.lab.protocol import *
from core.run import *
from core.waiting import *
from core.errors import *

def describe(request, progress):
    return Description("{name}", "{name}", "1.0", [], {ports}, scalable={scalable})

def services(request, progress):
    home, ports, python = Path(request["home"]), request["ports"], sys.executable
    return Services({env}, [{steps}], {page})

def ready(request, progress):
{ready}
    return {{}}

def backfill(request, progress):
    months = request["months"]
    notes = []
{body}
    records = [MonthRecord(month, "success", 1) for month in months]
    return BackfillResult("success", "1.0", 0.1, records, notes)

if __name__ == "__main__":
    sys.exit(serve(dict(describe=describe, services=services, ready=ready, backfill=backfill)))
"""

WEB = 'Step(start=[python, "-m", "http.server", str(ports["web"]), "--bind", "127.0.0.1"], name="web")'
PAGE = '"http://127.0.0.1:%d/" % ports["web"]'
WAIT = 'Step(wait="http://127.0.0.1:%d/" % ports["web"])'

MakeOrchestrator = Callable[..., Orchestrator]


def make_orchestrator(
    folder: Path,
    name: str,
    body: str = "",
    steps: str = "",
    ports: str = "[]",
    env: str = "{}",
    ready: str = "",
    page: str = "None",
    scalable: str = "{}",
) -> Orchestrator:
    """Write ``<folder>/<name>_impl/lab/runner.py``.

    `steps` and `page` see `request`, `home`, `ports` and `python`; `body` is part of the verb `backfill`.
    """
    place = folder / f"{name}_impl" / "lab"
    place.mkdir(parents=True)
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    (place / "runner.py").write_text(
        RUNNER.format(
            name=name,
            body=indented,
            steps=steps,
            ports=ports,
            env=env,
            ready=f"    {ready}",
            page=page,
            scalable=scalable,
        )
    )
    return Orchestrator(name, f"{name}_impl.lab.runner", Path(sys.executable), folder)
