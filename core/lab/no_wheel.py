"""The build backend: it installs this checkout editable, for `make setup`, and refuses to build anything else.

docs/decisions/0014-no-wheel.md says why. Hatchling is asked for by the editable build alone, so that a refusal needs no
network.
"""

from __future__ import annotations

from typing import Any, NoReturn

REFUSAL = (
    "triptych runs from a checkout, and is not offered as a wheel: `git clone` it, run `make setup` there, then "
    "`.venvs/lab/bin/triptych` (docs/decisions/0014-no-wheel.md)"
)


def get_requires_for_build_editable(*_: object) -> list[str]:
    """See PEP 660."""
    return ["hatchling>=1.30", "editables>=0.5"]


def build_editable(*arguments: Any) -> str:
    """See PEP 660."""
    from hatchling.build import build_editable as build

    return str(build(*arguments))


def _refuse(*_: object) -> NoReturn:
    # Not an exception of ours: pip and uv would show its traceback above the line.
    raise SystemExit(REFUSAL)


get_requires_for_build_wheel = get_requires_for_build_sdist = build_wheel = build_sdist = _refuse
