"""Pipelines besides the taxi pipeline: TRIPTYCH_PIPELINES names the packages that hold them, as in ``tests.questions``.

    <package>/<subject>/pipelines.py        PIPELINES: what can be started, for whoever starts it (`Pipeline`)
                        airflow_dags.py     the same pipelines for each orchestrator, each file as a user of that
                        dagster_defs.py     orchestrator would write it; one that is missing means that this
                        prefect_flows.py    orchestrator does not have these pipelines

A runner lists those that its orchestrator has, and its services load them beside the taxi pipeline. A new subject is
one folder, and no change elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from core.errors import UsageError, quoted
from core.lab.protocol.pipelines import Pipeline

VARIABLE = "TRIPTYCH_PIPELINES"


def packages() -> dict[str, Path]:
    """Return the packages that the variable names, with their folders; raise `UsageError` for one that is missing."""
    found = {}
    for name in filter(None, os.environ.get(VARIABLE, "").split(",")):
        try:
            spec = find_spec(name)
        except ModuleNotFoundError:
            spec = None
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(f"{VARIABLE}: {quoted(name)!r} is not a package that Python finds from here")
        found[name] = Path(next(iter(spec.submodule_search_locations)))
    return found


def modules(name: str) -> list[str]:
    """Return the modules called `name`, such as ``dagster_defs``, of all subjects, by their full names."""
    return [f"{package}.{path.parent.name}.{name}" for package, path in _files(name)]


def pipelines(name: str) -> list[Pipeline]:
    """Return the pipelines of all subjects that have a module called `name`, such as ``dagster_defs``."""
    declared = (import_module(f"{module.rpartition('.')[0]}.pipelines").PIPELINES for module in modules(name))
    return [pipeline for several in declared for pipeline in several]


def _files(name: str) -> Iterator[tuple[str, Path]]:
    for package, folder in packages().items():
        for path in sorted(folder.glob(f"*/{name}.py")):
            yield package, path
