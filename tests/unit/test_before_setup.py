"""A checkout whose environments are not made, or were made for another checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the core, without any environment."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "core", folder / "core", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "dbt/requirements.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def run(checkout: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the checkout with the standard library only."""
    code = "import sys; sys.path.insert(0, '.'); from core.lab.__main__ import main; sys.exit(main())"
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-S", "-I", "-c", code, *words],
        cwd=checkout, env={**environ, **variables}, capture_output=True, text=True,
    )  # fmt: skip


def test_doctor_names_the_command_that_makes_the_environments(checkout: Path) -> None:
    done = run(checkout, "doctor")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    for name in ("lab", "dbt"):
        at = lines.index(f"{f'environment {name}':<20} NOT OK not made yet")
        assert lines[at + 1].split() == ["fix:", "make", "setup"]
    assert f"{'loopback ports':<20} ok     available" in lines


def test_doctor_refuses_a_malformed_setting_in_one_line(checkout: Path) -> None:
    done = run(checkout, "doctor", TRIPTYCH_STALL_S="soon")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("triptych: TRIPTYCH_STALL_S='soon' is not a number of seconds")


def test_any_other_command_says_what_to_run_first(checkout: Path) -> None:
    done = run(checkout, "status")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "typer is not installed in " in done.stderr and "run `make setup`" in done.stderr


def test_the_command_of_a_copied_checkout_does_not_run_the_originals_code(tmp_path: Path) -> None:
    script = tmp_path / "copy" / ".venvs" / "lab" / "bin" / "triptych"
    script.parent.mkdir(parents=True)
    script.write_text("import sys\nfrom core.lab.__main__ import main\nsys.exit(main())\n")
    done = subprocess.run([sys.executable, script, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"triptych: this is a copy of {ROOT}: run `make setup` in {tmp_path / 'copy'} first\n"
