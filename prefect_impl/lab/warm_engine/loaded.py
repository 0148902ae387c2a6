"""What the warm engine is made from: a run that would be made from anything else has to start cold."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import prefect_impl

CHECKOUT = Path(prefect_impl.__path__[0]).parent

SETTINGS_FILES = (".env", "prefect.toml", "pyproject.toml")
"""Where Prefect looks for settings in the working directory, besides the environment and the profiles."""

OF_A_RUN = "PREFECT__"
"""How the variables begin that differ from run to run. No module reads them when it is imported."""


@dataclass(frozen=True)
class Loaded:
    """The environment and the folder of the warm engine, and when each file that it read was modified."""

    env: Mapping[str, str]
    cwd: str
    files: Mapping[str, int | None]

    def refusal(self, env: Mapping[str, str], cwd: str) -> str | None:
        """Return why a run with this environment in this folder can't be forked from here, or None if it can."""
        if changed := sorted(path for path, mtime in self.files.items() if modified(path) != mtime):
            return f"changed since it was loaded: {', '.join(changed)}"
        # All variables, not Prefect's alone: a library may read any when it is imported. Names only, no secrets.
        if others := sorted({name for name, _ in common(env).items() ^ self.env.items()}):
            return f"other variables than the warm engine's: {', '.join(others)}"
        return None if cwd == self.cwd else f"another folder than the warm engine's: {cwd}"


def load(modules: Iterable[str]) -> Loaded:
    """Import `modules`, and return what this process is made from."""
    began = time.time_ns()
    for name in modules:
        importlib.import_module(name)
    # What was modified during the import may have been read before that: it counts as changed from the start.
    files = {path: mtime and min(mtime, began) for path in sources() for mtime in [modified(path)]}
    return Loaded(common(spelled_out(os.environ)), str(Path.cwd()), files)


def sources() -> Iterator[str]:
    """Yield the files of the checkout's modules that are loaded, and those of Prefect's settings."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None) or ""
        if path.endswith(".py") and CHECKOUT in Path(path).parents and Path(sys.prefix) not in Path(path).parents:
            yield path
    yield str(Path(os.environ["PREFECT_HOME"], "profiles.toml"))
    yield from map(os.path.abspath, SETTINGS_FILES)


def spelled_out(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with Prefect's settings written as a worker writes them for its runs."""
    from prefect.settings import get_current_settings

    return {**env, **get_current_settings().to_environment_variables(exclude_unset=True)}


def common(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that all runs have in common."""
    return {name: value for name, value in env.items() if not name.startswith(OF_A_RUN)}


def modified(path: str) -> int | None:
    """Return when a file was modified, in nanoseconds; None if there is none."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return None
