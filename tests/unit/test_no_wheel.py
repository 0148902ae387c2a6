"""No wheel is built from a checkout: the installers show one line that says how to run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.lab.no_wheel import REFUSAL
from core.settings import ROOT

UV = [str(ROOT / ".venvs" / ".uv" / "bin" / "uv")]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the build backend consists of."""
    folder = tmp_path / "copy"
    shutil.copytree(ROOT / "core" / "lab", folder / "core" / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("core/__init__.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def installers(target: Path) -> list[list[str]]:
    """Return the commands of uv, and of pip where the interpreter that the lab's was made from has it."""
    python = str(getattr(sys, "_base_executable", sys.executable))
    has_pip = subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0
    return [
        [*UV, "pip", "install", "--no-deps", "--target", str(target)],
        [*UV, "build", "--sdist", "--out-dir", str(target)],
        *([[python, "-m", "pip", "install", "--no-index", "--no-deps", "--target", str(target)]] if has_pip else []),
    ]


@pytest.mark.slow
def test_an_installer_shows_one_line_and_asks_no_registry(copy: Path, tmp_path: Path) -> None:
    before = sorted(copy.rglob("*"))
    for words in installers(tmp_path / "target"):
        done = subprocess.run(
            [*words, str(copy)], capture_output=True, text=True,
            env={**os.environ, "UV_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert done.returncode != 0
        assert (done.stdout + done.stderr).count(REFUSAL) == 1
        assert "Traceback" not in done.stdout + done.stderr
    assert sorted(copy.rglob("*")) == before
    assert not list(tmp_path.glob("target/*triptych*")) and not list(tmp_path.glob("target/core"))
