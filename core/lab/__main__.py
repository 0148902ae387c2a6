"""The command ``triptych``, and ``python -m core.lab``, which runs before anything is installed: then only `doctor`."""

from __future__ import annotations

import sys
from pathlib import Path

from core.settings import ROOT


def main() -> int:
    """Run the command; when it can't run as it is installed, say in one line why and what to do."""
    script = Path(sys.argv[0]).absolute()
    # The script of a checkout that was copied starts the interpreter, and so the code and state, of the original.
    if script.parts[-4:-1] == (".venvs", "lab", "bin") and script.parents[3].resolve() != ROOT:
        return _complain(f"this is a copy of {ROOT}: run `make setup` in {script.parents[3]} first")
    try:
        from core.lab import cli
    except ModuleNotFoundError as error:
        if sys.argv[1:] == ["doctor"]:
            from core.lab import doctor

            return doctor.main()
        return _complain(
            f"{error.name} is not installed in {sys.prefix}: run `make setup`, then .venvs/lab/bin/triptych"
        )
    return cli.main()


def _complain(message: str) -> int:
    print(f"triptych: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
