"""The environments, one per folder with pins, which ``make setup`` makes with uv below ``.venvs/``.

The benchmarks' environment is made only when it is named: the alternatives that a user would pick are 60 packages that
nothing else needs.

    python3.11 -m core.lab.environments [NAME...]             bring them up to date
    python3.11 -m core.lab.environments lock [--upgrade]      compile the pins again

Standard library only: it runs before anything is installed. `lab`, every ``*_impl`` folder, `dbt` and `benchmarks` have
a ``requirements.txt``; the newest Airflow and Prefect can't share an environment (fastapi), and dbt shares nothing with
the others.

uv does the work: `pip compile` the pins, `pip sync` exactly those, `pip check` that they agree. What is left here is
which environments there are, which need no work, and not to replace one that is in use. `uv sync` is not used, because
its lock file records the address of the registry that the packages came from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

UV = "0.13.9"
"""The version of uv that was tested. It lies in .venvs/.uv, and nothing outside .venvs is changed."""

OLDEST, NEWEST = (3, 11), (3, 13)

QUIET = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "VIRTUAL_ENV": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
"""No interpreter is downloaded, and an environment of the caller's is not taken for ours."""

T = TypeVar("T")


class SetupError(Exception):
    """Why an environment can't be made, in one line."""


@dataclass(frozen=True)
class Environment:
    """One environment: where its pins are, and where it is made. All but dbt's hold this repository, editable.

    One that is `on_request` is made only when it is named.
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
        """The environment's interpreter."""
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """The file that holds the fingerprint, once everything is installed."""
        return self.folder / ".triptych"

    def fingerprint(self) -> str:
        """Return a hash of everything that decides the content of the environment."""
        files = [self.requirements.read_bytes(), (self.root / "pyproject.toml").read_bytes()]
        return hashlib.sha256(b"\0".join([*files, UV.encode(), sys.version.encode(), bytes(self.root)])).hexdigest()

    @property
    def made_at(self) -> Path:
        """The folder that its scripts start the interpreter of: another one if the checkout was moved or copied."""
        activate = self.folder / "bin" / "activate"
        lines = activate.read_text().splitlines() if activate.exists() else []
        named = next((line for line in lines if line.startswith("VIRTUAL_ENV=")), None)
        return Path(shlex.split(named)[0].removeprefix("VIRTUAL_ENV=")) if named else self.folder

    def fault(self) -> str | None:
        """Return why `make` has work to do, or None."""
        if not self.python.exists():
            return "its interpreter is gone" if self.python.is_symlink() else "not made yet"
        if self.made_at != self.folder:
            return f"made for {self.made_at}"
        is_current = self.stamp.exists() and self.stamp.read_text() == self.fingerprint()
        return None if is_current else "outdated"


def discover(root: Path) -> list[Environment]:
    """Return all environments of the checkout, the lab's first. Each ``<x>_impl/requirements.txt`` makes one more."""
    adapters = sorted(root.glob("*_impl/requirements.txt"))
    return [
        Environment("lab", root, root / "core" / "lab" / "requirements.txt"),
        *(Environment(path.parent.name.removesuffix("_impl"), root, path) for path in adapters),
        Environment("dbt", root, root / "dbt" / "requirements.txt", editable=False),
        Environment("bench", root, root / "benchmarks" / "requirements.txt", on_request=True),
    ]


def make(environment: Environment, uv: Path) -> str:
    """Bring one environment to exactly its pins; return what to report. Raise `SetupError` when that fails."""
    fault = environment.fault()
    if fault is None:
        return "up to date"
    if pids := _users(environment.folder):
        raise SetupError(
            f"{environment.name}: it is {fault}, and in use (pids {', '.join(pids)}): "
            "end these first, with `triptych down`"
        )
    python = str(environment.python)
    shown = environment.requirements.relative_to(environment.root)
    if environment.made_at != environment.folder or not _is_of_this_python(environment):
        _run([str(uv), "venv", "--quiet", "--clear", "--python", _base_python(), str(environment.folder)], environment)
    environment.stamp.unlink(missing_ok=True)
    _run([str(uv), "pip", "sync", "--quiet", "--compile-bytecode", "--python", python, str(shown)], environment)
    if environment.editable:
        _run([str(uv), "pip", "install", "--quiet", "--no-deps", "--python", python, "--editable", "."], environment)
    _run([str(uv), "pip", "check", "--quiet", "--python", python], environment)
    installed = _run([str(uv), "pip", "freeze", "--python", python], environment)
    environment.stamp.write_text(environment.fingerprint())
    return f"{len(installed.splitlines())} packages"


def _users(folder: Path) -> list[str]:
    """Return the processes that run a program of `folder`: if its files were replaced, they would fail later."""
    pids = []
    # Not with psutil: this runs before anything is installed.
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            program = path.read_bytes().partition(b"\0")[0]
            if program.startswith(bytes(folder) + b"/"):
                pids.append(path.parent.name)
    return pids


def lock(environment: Environment, uv: Path, options: Sequence[str]) -> str:
    """Compile the floors of pyproject.toml into pins, for every platform and Python; return what to report."""
    what = ["pyproject.toml", "--extra", environment.name] if environment.editable else ["--group", environment.name]
    output = str(environment.requirements.relative_to(environment.root))
    words = ["--universal", "--python-version", "3.11", "--no-emit-index-url", "--no-header", "--quiet"]
    words += ["--output-file", output]
    _run([str(uv), "pip", "compile", *what, *words, *options], environment)
    pins = [line for line in environment.requirements.read_text().splitlines() if line[:1].isalnum()]
    return f"{output}: {len(pins)} pins"


def bootstrap(root: Path) -> Path:
    """Return the pinned uv below .venvs, and install it with pip if need be. Raise `SetupError` when that fails."""
    folder = root / ".venvs" / ".uv"
    uv = folder / "bin" / "uv"
    if uv.exists() and _version(uv) == UV:
        return uv
    shutil.rmtree(folder, ignore_errors=True)
    requirement = [f"uv=={UV}", "--quiet"]
    if importlib.util.find_spec("pip"):
        done = _quietly([sys.executable, "-m", "pip", "install", "--target", str(folder), *requirement], root)
    else:
        # Debian ships Python without pip; its package python3-venv brings one.
        done = _quietly([sys.executable, "-m", "venv", str(folder)], root)
        if done.returncode == 0:
            done = _quietly([str(folder / "bin" / "python"), "-m", "pip", "install", *requirement], root)
    if done.returncode or not uv.exists():
        raise SetupError(f"uv {UV} could not be installed with pip: {_cause(done)}")
    return uv


def main(argv: list[str] | None = None) -> int:
    """Make all environments, or those named; or compile their pins. Return the exit code."""
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
            work = partial(lock, each, uv, options) if locking else partial(make, each, uv)
            _reported(each.name, lambda work=work: (None, work()))  # type: ignore[misc]
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
    """Do `work` and print one line: its name at once, the result and the seconds when it has ended."""
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
    """Return the interpreter itself, even when an environment that was made from it runs this."""
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
    """Return the cause in one line, without the user and password of any address."""
    lines = [
        line.strip(" \u00d7\u2570\u2500\u25b6\u251c\u2502")
        for line in (done.stderr + done.stdout).splitlines()
        if line.strip()
    ]
    text = " ".join(lines[:6]) or f"exit code {done.returncode}"
    return re.sub(r"://[^/@\s]+@", "://***@", text)[:600]


def _version(uv: Path) -> str:
    # "uv 0.13.9 (x86_64-...)"
    words = subprocess.run([str(uv), "--version"], capture_output=True, text=True).stdout.split()
    return words[1] if len(words) > 1 else ""


if __name__ == "__main__":
    sys.exit(main())
