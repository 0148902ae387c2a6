"""The environments, one per folder with pins: made by ``make setup`` with uv, below ``.venvs/``.

The benchmarks' is made only when it is named: what a user would pick instead of ours is 60 packages that nothing else needs.

    python3.11 -m core.lab.environments [NAME...]             bring them up to date
    python3.11 -m core.lab.environments lock [--upgrade]      compile the pins anew

Standard library only: it runs before anything is installed. `lab`, every ``*_impl`` folder, `dbt` and `benchmarks` have a
``requirements.txt``; the newest Airflow and Prefect can't share an environment (fastapi), and dbt shares nothing with anybody.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

UV = "0.13.9"
"""The uv that was tested. It lives in .venvs/.uv, and nothing else on the machine is touched."""

OLDEST, NEWEST = (3, 11), (3, 13)

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)\s*(;.*)?$")


# No interpreter is downloaded, and no environment of the caller's is taken for ours.
QUIET = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "VIRTUAL_ENV": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

T = TypeVar("T")


class SetupError(Exception):
    """Something that keeps an environment from being made, in one line."""


@dataclass(frozen=True)
class Environment:
    """One environment: where its pins are, and where it is made. All but dbt's hold this repository, editable.

    One that is `on_request` is made when it is named, and not with the others.
    """

    name: str
    root: Path
    requirements: Path
    editable: bool = True
    on_request: bool = False

    @property
    def folder(self) -> Path:
        """The environment itself."""
        return self.root / ".venvs" / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """Holds the fingerprint of what was installed, once all of it was."""
        return self.folder / ".triptych"

    def fingerprint(self) -> str:
        """Changes when anything that decides the content of the environment does."""
        files = [self.requirements.read_bytes(), (self.root / "pyproject.toml").read_bytes()]
        return hashlib.sha256(b"\0".join([*files, UV.encode(), sys.version.encode(), bytes(self.root)])).hexdigest()

    def is_current(self) -> bool:
        """Whether nothing is to be done."""
        return self.python.exists() and self.stamp.exists() and self.stamp.read_text() == self.fingerprint()

    def pins(self) -> dict[str, tuple[set[str], bool]]:
        """Name -> its pinned versions, and whether it must be there (a pin with a marker need not)."""
        found: dict[str, tuple[set[str], bool]] = {}
        for line in self.requirements.read_text().splitlines():
            if match := _PIN.match(line.strip()):
                versions, required = found.get(_normal(match[1]), (set(), False))
                found[_normal(match[1])] = (versions | {match[2]}, required or not match[3])
        return found


def discover(root: Path) -> list[Environment]:
    """All environments of the checkout, the lab's first. A further ``<x>_impl/requirements.txt`` is found, not listed."""
    impls = sorted(root.glob("*_impl/requirements.txt"))
    return [
        Environment("lab", root, root / "core" / "lab" / "requirements.txt"),
        *(Environment(path.parent.name.removesuffix("_impl"), root, path) for path in impls),
        Environment("dbt", root, root / "dbt" / "requirements.txt", editable=False),
        Environment("bench", root, root / "benchmarks" / "requirements.txt", on_request=True),
    ]


def make(environment: Environment, uv: Path) -> str:
    """Bring one environment to exactly its pins; give what to report. Raises `SetupError`."""
    if environment.is_current():
        return "up to date"
    if pids := _users(environment.folder):
        raise SetupError(
            f"{environment.name}: it is to be made anew, and runs (pids {', '.join(pids)}): end that first, with `triptych down`"
        )
    python = str(environment.python)
    shown = environment.requirements.relative_to(environment.root)
    if not _is_of_this_python(environment):
        _run([str(uv), "venv", "--quiet", "--clear", "--python", _base_python(), str(environment.folder)], environment)
    environment.stamp.unlink(missing_ok=True)
    _run([str(uv), "pip", "sync", "--quiet", "--compile-bytecode", "--python", python, str(shown)], environment)
    if environment.editable:
        _run([str(uv), "pip", "install", "--quiet", "--no-deps", "--python", python, "--editable", "."], environment)
    _run([str(uv), "pip", "check", "--quiet", "--python", python], environment)
    count = verify(environment, uv)
    environment.stamp.write_text(environment.fingerprint())
    return f"{count} packages"


def _users(folder: Path) -> list[str]:
    """The processes that run a program of `folder`: with its files replaced under them they would fail in the middle of something."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):  # no psutil here: this runs before anything is installed
        with suppress(OSError):
            program = path.read_bytes().partition(b"\0")[0]
            if program.startswith(bytes(folder) + b"/"):
                found.append(path.parent.name)
    return found


def verify(environment: Environment, uv: Path) -> int:
    """Count the installed packages; raise `SetupError` naming one that is not at its pinned version."""
    frozen = _run([str(uv), "pip", "freeze", "--python", str(environment.python)], environment)
    installed = {_normal(name): version for name, _, version in (line.partition("==") for line in frozen.splitlines())}
    for name, (versions, required) in environment.pins().items():
        found = installed.get(name)
        if found not in versions and (found or required):
            raise SetupError(
                f"{environment.name}: {name} is {found or 'missing'}, pinned is {' or '.join(sorted(versions))}"
            )
    return len(installed)


def lock(environment: Environment, uv: Path, options: Sequence[str]) -> str:
    """Compile the floors of pyproject.toml into pins, for every platform and Python; give what to report. Raises `SetupError`."""
    what = ["pyproject.toml", "--extra", environment.name] if environment.editable else ["--group", environment.name]
    output = str(environment.requirements.relative_to(environment.root))
    words = [
        "--universal",
        "--python-version",
        "3.11",
        "--no-emit-index-url",
        "--no-header",
        "--quiet",
        "--output-file",
        output,
    ]
    _run([str(uv), "pip", "compile", *what, *words, *options], environment)
    return f"{output}: {len(environment.pins())} pins"


def bootstrap(root: Path) -> Path:
    """The pinned uv below .venvs, installed with pip if it is not there; raise `SetupError` when it can't be."""
    folder = root / ".venvs" / ".uv"
    uv = folder / "bin" / "uv"
    if uv.exists() and _version(uv) == UV:
        return uv
    shutil.rmtree(folder, ignore_errors=True)
    requirement = [f"uv=={UV}", "--quiet"]
    if importlib.util.find_spec("pip"):
        done = _quietly([sys.executable, "-m", "pip", "install", "--target", str(folder), *requirement], root)
    else:  # Debian ships Python without pip, and with python3-venv a way to it
        done = _quietly([sys.executable, "-m", "venv", str(folder)], root)
        if done.returncode == 0:
            done = _quietly([str(folder / "bin" / "python"), "-m", "pip", "install", *requirement], root)
    if done.returncode or not uv.exists():
        raise SetupError(f"uv {UV} could not be installed with pip: {_cause(done)}")
    return uv


def main(argv: list[str] | None = None) -> int:
    """Make all environments, or those named; or compile their pins. Give the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    locking = words[:1] == ["lock"]
    options = [word for word in words if word.startswith("-")]
    names = [word for word in words[locking:] if word not in options]
    root = Path(__file__).resolve().parents[2]
    try:
        if not OLDEST <= sys.version_info[:2] <= NEWEST:
            raise SetupError(
                f"this is Python {sys.version.split()[0]}: use 3.11, 3.12 or 3.13, as in `make setup PYTHON=python3.12`"
            )
        wanted = _select(discover(root), names, every=locking)
        uv = _reported("uv", lambda: (bootstrap(root), UV))
        for each in wanted:
            _reported(each.name, lambda each=each: (None, lock(each, uv, options) if locking else make(each, uv)))  # type: ignore[misc]
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _select(environments: list[Environment], names: list[str], *, every: bool) -> list[Environment]:
    known = {each.name: each for each in environments}
    for name in names:
        if name not in known:
            raise SetupError(f"unknown environment {name!r}: choose from {', '.join(known)}")
    return [known[name] for name in names] or [each for each in environments if every or not each.on_request]


def _reported(name: str, work: Callable[[], tuple[T, str]]) -> T:
    """Do `work` and print one line: its name at once, what came of it and the seconds when it has ended."""
    started = time.monotonic()
    print(f"{name:<10}", end="", flush=True)
    try:
        value, result = work()
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{result:<40} {time.monotonic() - started:6.1f} s", flush=True)
    return value


def _base_python() -> str:
    """The interpreter itself, also when we run in an environment made from it."""
    return str(getattr(sys, "_base_executable", sys.executable))


def _is_of_this_python(environment: Environment) -> bool:
    if not environment.python.exists():
        return False
    done = _quietly([str(environment.python), "-c", "import sys; print(sys.version)"], environment.root)
    return done.stdout.strip() == sys.version


def _run(words: list[str], environment: Environment) -> str:
    done = _quietly(words, environment.root)
    if done.returncode:
        raise SetupError(f"{environment.name}: `uv {' '.join(words[1:3])}` failed: {_cause(done)}")
    return done.stdout


def _quietly(words: list[str], root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, **QUIET}
    )


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    """The cause in one line, with the user and password of any address taken out."""
    lines = [
        line.strip(" \u00d7\u2570\u2500\u25b6\u251c\u2502")
        for line in (done.stderr + done.stdout).splitlines()
        if line.strip()
    ]
    text = " ".join(lines[:6]) or f"exit code {done.returncode}"
    return re.sub(r"://[^/@\s]+@", "://***@", text)[:600]


def _version(uv: Path) -> str:
    return (
        subprocess.run([str(uv), "--version"], capture_output=True, text=True)
        .stdout.partition(" ")[2]
        .split(" ")[0]
        .strip()
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
