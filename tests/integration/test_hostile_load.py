"""Hostile files on their way into a server: `tests/unit/test_hostile_files.py` reads the same kinds without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from core.settings import ROOT


def test_hostile_files_are_refused_or_loaded_whole(warehouse: str, tmp_path: Path) -> None:
    """The fuzzer checks that the ledger counts the rows that the file declares, and that every refusal is one line."""
    command = [sys.executable, "-m", "tests.fuzz", "--cases", "60", "--seed", "3", "--server-every", "1"]
    done = subprocess.run(
        [*command, "--findings", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout + done.stderr
