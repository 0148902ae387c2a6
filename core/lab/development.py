"""Commands whose code is no part of the package, such as the tests': they run in the checkout."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from core.errors import UsageError
from core.settings import ROOT


def become(module: str, words: Sequence[str]) -> NoReturn:
    """Go on as ``python -m module words...``, in the checkout. Raise `UsageError` when that has no such module.

    The process is replaced, so that signals and the exit code are the module's own.
    """
    if not ROOT.joinpath(*module.split("."), "__main__.py").exists():
        raise UsageError(f"{ROOT} has no {module}: run this in a clone of the repository")
    sys.stdout.flush()
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", module, *words])


def from_here(value: object) -> object:
    """Return the value of an option as it means the same in the checkout: a file by its full path."""
    return value.absolute() if isinstance(value, Path) and value != Path("-") else value
