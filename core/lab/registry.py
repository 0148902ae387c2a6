"""Which orchestrators there are: `plain`, every ``*_impl`` folder of the checkout, and the folders of TRIPTYCH_IMPLS.

A folder is an adapter when it holds a ``lab/runner.py`` that speaks `core.lab.protocol`. Nothing else is required of
it, and nothing here knows an orchestrator by name.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError
from core.settings import ROOT, Settings

BASELINE = "plain"
"""The baseline's name: the same steps without an orchestrator. The lab drives it as if it were one."""

_SUFFIX = "_impl"


@dataclass(frozen=True)
class Orchestrator:
    """How to start an orchestrator's runner: ``python -m module``, in `cwd`."""

    name: str
    module: str
    python: Path
    cwd: Path


def orchestrators(settings: Settings) -> dict[str, Orchestrator]:
    """Return all orchestrators by name, the baseline first.

    Raise `UsageError` when an entry of TRIPTYCH_IMPLS is not an adapter, or TRIPTYCH_ENDPOINTS names none.
    """
    known = of_the_checkout()
    for folder in settings.impls:
        if not folder.name.endswith(_SUFFIX) or not (folder / "lab" / "runner.py").exists():
            raise UsageError(f"TRIPTYCH_IMPLS: {folder} is not a folder <name>{_SUFFIX} with a lab/runner.py")
        known |= _entry(folder)
    for name in settings.endpoints:
        if name not in known or name == BASELINE:
            raise UsageError(f"TRIPTYCH_ENDPOINTS: {name!r} is no orchestrator with services")
    return known


def of_the_checkout() -> dict[str, Orchestrator]:
    """Return the orchestrators of the checkout by name, the baseline first: those that run the taxi pipeline."""
    known = {BASELINE: Orchestrator(BASELINE, "core.lab.plain.runner", Path(sys.executable), ROOT)}
    for folder in sorted(path.parent.parent for path in ROOT.glob(f"*{_SUFFIX}/lab/runner.py")):
        known |= _entry(folder)
    return known


def _entry(folder: Path) -> dict[str, Orchestrator]:
    name = folder.name.removesuffix(_SUFFIX)
    return {name: Orchestrator(name, f"{folder.name}.lab.runner", _python(name, folder), folder.parent)}


def _python(name: str, folder: Path) -> Path:
    """Return the interpreter of the adapter's environment; the lab's own when the adapter has no pins."""
    own = ROOT / ".venvs" / name / "bin" / "python"
    return own if own.exists() or (folder / "requirements.txt").exists() else Path(sys.executable)


def select(names: str, settings: Settings) -> list[Orchestrator]:
    """Return the orchestrators that `names` lists, comma separated, or ``all`` of the checkout.

    One of TRIPTYCH_IMPLS may run another pipeline, so it is chosen by its name only. Raise `UsageError` naming the one
    that is unknown or has no environment.
    """
    known = orchestrators(settings)
    listed = of_the_checkout() if names == "all" else (name.strip() for name in names.split(","))
    wanted = list(dict.fromkeys(listed))
    for name in wanted:
        if name not in known:
            raise UsageError(f"unknown orchestrator {name!r}: choose from {', '.join(known)}, or all")
        if not known[name].python.exists():
            raise UsageError(f"{name} has no environment at {known[name].python.parent.parent}: run `make setup`")
    return [known[name] for name in wanted]
