"""What runs outside this machine names commands that exist, and actions that can't change."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from core.settings import ROOT

FILES = [
    *sorted((ROOT / ".github").rglob("*.yml")),
    *sorted((ROOT / ".github").rglob("*.md")),
    *(ROOT / name for name in (".ci/run", ".devcontainer/devcontainer.json", ".pre-commit-config.yaml", "SECURITY.md")),
]


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for path in FILES
        for words in re.findall(r"(?:^|[`\":]\s?)make ((?:[a-z-]+ ?)+)", path.read_text(), re.MULTILINE)
        for target in words.split()
    }
    assert {"setup", "lint", "types", "test-fast", "demo"} <= named <= targets


def test_every_action_is_pinned_to_a_commit() -> None:
    used = re.findall(r"uses: (.*)", (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert used
    for each in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)


@pytest.mark.parametrize(
    "entry", re.findall(r"entry: (.*)", (ROOT / ".pre-commit-config.yaml").read_text()), ids=lambda entry: entry[:28]
)
def test_a_pre_commit_hook_runs(entry: str, tmp_path: Path) -> None:
    file = tmp_path / "fine.py"
    file.write_text('"""A module."""\n')
    done = subprocess.run([*shlex.split(entry), str(file)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
