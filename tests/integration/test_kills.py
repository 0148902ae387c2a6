"""A slice of `make soak`: loaders that are killed at random lose nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.settings import ROOT

pytestmark = pytest.mark.slow


def run(folder: Path, module: str, *words: str) -> dict[str, Any]:
    """Run a benchmark, and give its results. It forks, and the test runner has threads: so in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{module}", "--folder", str(folder), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    results: dict[str, Any] = json.loads((folder / f"{module}.json").read_text())
    return results


def test_random_kills_lose_and_double_nothing_and_no_reader_sees_part_of_a_month(tmp_path: Path) -> None:
    found = run(tmp_path, "soak", "--kills", "60", "--contrast", "0")
    assert found["kills"] >= 50 and found["polls"] > 0
    assert [found[key] for key in ("lost_rows", "extra_rows", "partial_reads", "ledger_mismatches")] == [0, 0, 0, 0]
