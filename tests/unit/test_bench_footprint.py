"""What an orchestrator costs before it runs anything: how that is measured, and what the page says of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.harness.measure import BenchmarkError
from benchmarks.orchestrators import footprint, footprint_page
from tests.unit.test_bench_chains import FACTS


def test_the_size_is_that_of_the_files_and_a_link_is_not_followed(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    (tmp_path / "big").write_bytes(bytes(3 * 2**20))
    found = footprint.installed(python)
    assert found["mb"] == 3.0 and found["distributions"] > 10


def test_an_import_says_what_it_took() -> None:
    found = footprint.imported(Path(sys.executable), "import json, decimal")
    assert found.keys() == {"wall_s", "cpu_s", "modules"} and found["modules"] > 20


def test_an_import_that_fails_says_why() -> None:
    with pytest.raises(BenchmarkError, match="No module named 'no_such_module'"):
        footprint.imported(Path(sys.executable), "import no_such_module")


def test_every_orchestrator_has_its_import() -> None:
    assert {*footprint.IMPORTS} == {"airflow", "dagster", "prefect"}


def test_the_page_shows_one_value_without_and_several_with_their_spread() -> None:
    rows = [
        {"orchestrator": "dagster", "what": "install", "mb": 512.5, "distributions": 1115},
        *({"orchestrator": "dagster", "what": "import", "round": n, "wall_s": n, "cpu_s": 1.0, "modules": 900}
          for n in (1, 2, 3)),
        {"orchestrator": "dagster", "what": "idle", "wall_s": 300.0, "cpu_s": 30.0, "peak_mb": 400.0,
         "cpu_daemon_s": 15.0, "peak_daemon_mb": 100.0, "cpu_database_s": 15.0},
    ]  # fmt: skip
    page = footprint_page.page({**FACTS, "rows": rows, "idle_s": 300})
    assert "as shipped, they were not watched" in page
    shipped = {"orchestrator": "dagster", "what": "idle as shipped", "wall_s": 300.0, "cpu_s": 15.0, "peak_mb": 300.0}
    both = footprint_page.page({**FACTS, "rows": [*rows, shipped], "idle_s": 300})
    assert "| idle as shipped, % of one core | 5.00 |\n| idle as shipped, MB | 300 |" in both
    assert "| installed, MB | 512 |" in page and "| installed distributions | 1,115 |" in page
    assert "| import, s | 2.00 (1.00 - 3.00) |" in page and "| modules that it loads | 900 |" in page
    assert "| idle, % of one core | 10.0 |" in page
    assert "| stop of the services, s | - |" in page
    assert "| daemon | 5.00%, 100 MB |\n| database | 5.00% |\n" in page
