"""Which orchestrators there are: `plain`, every ``*_impl`` folder of the checkout, and the folders of TRIPTYCH_IMPLS.

A folder is an orchestrator when it holds a ``lab/runner.py`` that answers `core.lab.protocol`. Nothing else is asked of it, and nothing
here knows one by name.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError
from core.settings import ROOT, Settings

CONTROL = "plain"
"""The control: the same steps without an orchestrator. The golden run."""

_SUFFIX = "_impl"


@dataclass(frozen=True)
class Orchestrator:
    """How to start one's runner: ``python -m module``, in `cwd`."""

    name: str
    module: str
    python: Path
    cwd: Path


def orchestrators(settings: Settings) -> dict[str, Orchestrator]:
    """All orchestrators by name, the control first. Raise `UsageError` when an entry of TRIPTYCH_IMPLS is none."""
    found = {CONTROL: Orchestrator(CONTROL, "core.lab.plain", Path(sys.executable), ROOT)}
    for folder in sorted(path.parent.parent for path in ROOT.glob(f"*{_SUFFIX}/lab/runner.py")):
        found |= _entry(folder)
    for folder in settings.impls:
        if not folder.name.endswith(_SUFFIX) or not (folder / "lab" / "runner.py").exists():
            raise UsageError(f"TRIPTYCH_IMPLS: {folder} is not a folder <name>{_SUFFIX} with a lab/runner.py")
        found |= _entry(folder)
    return found


def _entry(folder: Path) -> dict[str, Orchestrator]:
    name = folder.name.removesuffix(_SUFFIX)
    return {name: Orchestrator(name, f"{folder.name}.lab.runner", _python(name, folder), folder.parent)}


def _python(name: str, folder: Path) -> Path:
    """The environment made for it, else ours: an orchestrator without pins needs none of its own."""
    own = ROOT / ".venvs" / name / "bin" / "python"
    return own if own.exists() or (folder / "requirements.txt").exists() else Path(sys.executable)


def select(names: str, settings: Settings) -> list[Orchestrator]:
    """The orchestrators that `names` lists, comma separated, or ``all``; raise `UsageError` naming what is unknown or not set up."""
    known = orchestrators(settings)
    wanted = list(known) if names == "all" else list(dict.fromkeys(name.strip() for name in names.split(",")))
    for name in wanted:
        if name not in known:
            raise UsageError(f"unknown tool {name!r}: choose from {', '.join(known)}, or all")
        if not known[name].python.exists():
            raise UsageError(f"{name} has no environment at {known[name].python.parent.parent}: run `make setup`")
    return [known[name] for name in wanted]
