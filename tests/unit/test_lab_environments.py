"""Environments: what decides their content, and the message when one can't be made."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from core.lab import environments
from core.lab.environments import Environment, SetupError, discover
from core.settings import ROOT
from core.waiting import until


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "requirements.txt").write_text("numpy==2.4\n")
    return Environment("one", tmp_path, tmp_path / "requirements.txt")


def test_every_folder_with_pins_is_an_environment(tmp_path: Path) -> None:
    for folder in ("luigi_impl", "airflow_impl", "core/lab", "dbt", "other"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "requirements.txt").touch()
    assert [(each.name, each.editable, each.on_request) for each in discover(tmp_path)] == [
        ("lab", True, False), ("airflow", True, False), ("luigi", True, False), ("dbt", False, False),
        ("bench", True, True),
    ]  # fmt: skip


def test_the_benchmarks_environment_is_made_only_when_it_is_named() -> None:
    everything = discover(ROOT)
    names = [each.name for each in everything]
    made = {each.name for each in environments._select(everything, [], every=False)}
    assert (set(names) - made, "lab" in made) == ({"bench"}, True)
    assert [each.name for each in environments._select(everything, ["bench"], every=False)] == ["bench"]
    assert [each.name for each in environments._select(everything, [], every=True)] == names


def test_the_stamp_follows_everything_that_decides_the_content(environment: Environment) -> None:
    assert environment.fault() == "not made yet"
    environment.python.parent.mkdir(parents=True)
    environment.python.touch()
    assert environment.fault() == "outdated"
    environment.stamp.write_text(environment.fingerprint())
    assert environment.fault() is None
    for path in (environment.requirements, environment.root / "pyproject.toml"):
        before = path.read_text()
        path.write_text(before + "#")
        assert environment.fault() == "outdated"
        path.write_text(before)
    environment.python.unlink()
    environment.python.symlink_to(environment.root / "uninstalled")
    assert environment.fault() == "its interpreter is gone"


UV = r"""#!/bin/sh
echo "$@" >> "$0.calls"
case "$1" in venv) exec mkdir -p "${6%/}/bin" ;; esac
"""


@pytest.mark.parametrize("name", ["old", "o'l d"])
def test_an_environment_that_was_moved_or_copied_is_made_again(
    environment: Environment, tmp_path: Path, name: str
) -> None:
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    activate = environment.folder / "bin" / "activate"
    uv = tmp_path / "uv"
    uv.write_text(UV)
    uv.chmod(0o755)
    calls = tmp_path / "uv.calls"
    for place, made in ((environment.folder, False), (tmp_path / name, True)):
        # As uv writes it.
        activate.write_text(f"# a script\nVIRTUAL_ENV={shlex.quote(str(place))}\nexport VIRTUAL_ENV\n")
        assert (environment.fault() == f"made for {place}") is made
        environments.make(environment, uv)
        assert (f"venv --quiet --clear --python {environments._base_python()}" in calls.read_text()) is made


def test_a_failure_is_one_line_without_a_secret(environment: Environment, tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'error: could not fetch' >&2\necho '  https://me:secret@host/simple' >&2\nexit 2\n")
    uv.chmod(0o755)
    with pytest.raises(SetupError) as caught:
        environments.make(environment, uv)
    assert str(caught.value) == "one: `uv venv --quiet` failed: error: could not fetch https://***@host/simple"


def test_an_unknown_environment_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "core.lab.environments", "luigi"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("setup: unknown environment 'luigi': choose from lab, airflow")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "does not run: name a Python 3.11, 3.12 or 3.13"),
        ("2.7", "is Python 2.7: name a Python 3.11, 3.12 or 3.13"),
        ("3.14", "is Python 3.14: name a Python 3.11, 3.12 or 3.13"),
    ],
)
@pytest.mark.parametrize("target", ["setup", "doctor", "lock"])
def test_a_python_that_cannot_be_used_is_one_line(tmp_path: Path, target: str, found: str | None, message: str) -> None:
    python = tmp_path / "python"
    if found:
        python.write_text(f"#!/bin/sh\necho {found}\n")
        python.chmod(0o755)
    # `make test` passes these on, and a make inside a make says where it is.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(["make", target, f"PYTHON={python}"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"PYTHON={python} {message}" in done.stderr


def test_an_environment_that_is_in_use_is_not_replaced(environment: Environment, tmp_path: Path) -> None:
    program = environment.folder / "bin" / "server"
    program.parent.mkdir(parents=True)
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "300"]) as running:
        try:
            until(lambda: environments._users(environment.folder) or None, 10, 0.01, "what it runs, in /proc")
            with pytest.raises(SetupError, match=rf"one: .* in use \(pids {running.pid}\): .* `triptych down`"):
                environments.make(environment, tmp_path / "uv")
        finally:
            running.kill()
    assert program.exists()
